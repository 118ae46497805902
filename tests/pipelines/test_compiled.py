"""The compiled pipelines, as a cluster would read them."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

COMPILED = sorted((Path(__file__).parents[2] / "pipelines" / "compiled").glob("*.yaml"))


@pytest.fixture(params=COMPILED, ids=lambda path: path.stem)
def package(request):
    return YAML(typ="safe").load(request.param.read_text(encoding="utf-8"))


def test_the_sdk_loads_it_back(package, request):
    from kfp import components

    path = request.node.callspec.params["package"]
    assert components.load_component_from_file(str(path)).name == package["pipelineInfo"]["name"]


def test_no_step_installs_anything_at_run_time(package):
    for executor in package["deploymentSpec"]["executors"].values():
        assert "pip install" not in " ".join(executor["container"]["command"])


def test_all_steps_run_in_the_one_image_of_the_pipeline(package):
    from components.images import PIPELINE_IMAGE

    images = {executor["container"]["image"] for executor in package["deploymentSpec"]["executors"].values()}
    assert images == {PIPELINE_IMAGE}


def test_every_step_knows_the_version_of_the_code_because_a_cache_compares_parameters(package):
    for task in package["root"]["dag"]["tasks"].values():
        assert "code_version" in task["inputs"]["parameters"]


def test_no_name_is_one_that_yaml_1_1_reads_as_a_boolean(package):
    names = set()
    for component in package["components"].values():
        for kind in ("inputDefinitions", "outputDefinitions"):
            for group in component.get(kind, {}).values():
                names |= set(group)
    assert not names & {"y", "n", "yes", "no", "on", "off"}


def test_every_step_has_a_name_for_people(package):
    titles = [task["taskInfo"]["name"] for task in package["root"]["dag"]["tasks"].values()]
    assert all(title[0].isupper() and "-" not in title for title in titles)
