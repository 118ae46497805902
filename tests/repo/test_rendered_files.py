"""What is committed and made by a command is what the command makes."""

from pathlib import Path

import pytest

from fairlead.render.files import commands, pipelines, schemas

REPO = Path(__file__).parents[2]


def test_json_schemas_are_fresh():
    for path, content in schemas().items():
        assert (REPO / path).read_text(encoding="utf-8") == content, "run `make render`"


def test_compiled_pipelines_are_fresh():
    rendered = pipelines(REPO)
    names = ["refresh_features.yaml", "retrain_model.yaml", "score_batch.yaml", "train_and_release.yaml"]
    assert sorted(path.name for path in rendered) == names
    for path, content in rendered.items():
        assert (REPO / path).read_text(encoding="utf-8") == content, "run `make render`"


def test_the_command_reference_is_fresh():
    [(path, content)] = commands().items()
    assert (REPO / path).read_text(encoding="utf-8") == content, "run `make render`"


@pytest.mark.parametrize(
    "path", ["feature_repo/flights/dataset.yaml", "pipelines/models/flight-delay.yaml", "pipelines/steps.yaml"]
)
def test_a_spec_names_its_schema_for_editors(path):
    first, _, _ = (REPO / path).read_text(encoding="utf-8").partition("\n")
    schema = first.removeprefix("# yaml-language-server: $schema=")
    assert ((REPO / path).parent / schema).resolve().is_file()
