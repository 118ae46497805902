"""Pipelines as resources of an environment: their names, what is in them, what is refused."""

from pathlib import Path

import pytest
import yaml

from fairlead.errors import SpecError
from fairlead.render.documents import dump
from fairlead.render.manifests.config_map import environment_variables
from fairlead.render.pipelines import (
    environments,
    find_environment,
    pipeline_manifests,
    pipeline_version,
    rendered_version,
)
from fairlead.spec.environment import EnvironmentSpec
from fairlead.spec.load import load_text
from fairlead.spec.steps import StepsSpec

REPO = Path(__file__).parents[2]
STEPS = REPO / "pipelines" / "steps.yaml"


def package(image="fairlead/pipeline", command="python3"):
    executors = {"exec-a": {"container": {"image": image, "command": [command]}}}
    return [
        {"pipelineInfo": {"name": "a-pipeline"}, "deploymentSpec": {"executors": executors}, "root": {}},
        {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-a": {"activeDeadlineSeconds": "60"}}}}}},
    ]


def name(*words):
    return pipeline_version(*words, "kubeflow")["metadata"]["name"]


def environment(**changes):
    text = (REPO / "manifests/envs/dev/environment.yaml").read_text(encoding="utf-8")
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    return load_text(text, Path("environment.yaml"), EnvironmentSpec)


@pytest.fixture
def repo(tmp_path):
    """A checkout with one environment."""
    folder = tmp_path / "manifests/envs/dev"
    folder.mkdir(parents=True)
    for file in ("environment.yaml", "images.yaml"):
        text = (REPO / "manifests/envs/dev" / file).read_text(encoding="utf-8")
        (folder / file).write_text(text.replace("flight-delay-weekly", "weekly"), encoding="utf-8")
    return tmp_path


def test_a_version_is_named_by_its_content_and_its_image_is_the_environments():
    version = pipeline_version(package(), "registry.example.com/pipeline:1.2.0", "kubeflow")
    container = version["spec"]["pipelineSpec"]["deploymentSpec"]["executors"]["exec-a"]["container"]
    assert container["image"] == "registry.example.com/pipeline:1.2.0"
    assert version["metadata"]["name"].startswith("a-pipeline-")
    assert version["spec"]["pipelineName"] == "a-pipeline"


def test_the_same_content_has_the_same_name_and_another_image_step_or_setting_another():
    assert name(package(), "a:1") == name(package(), "a:1")
    longer = package()
    longer[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-a"]["activeDeadlineSeconds"] = "61"
    assert (
        len(
            {
                name(*words)
                for words in ((package(), "a:1"), (package(), "a:2"), (package(command="sh"), "a:1"), (longer, "a:1"))
            }
        )
        == 4
    )


def test_a_step_in_another_image_is_refused():
    with pytest.raises(SpecError, match=r"exec-a must run in 'fairlead/pipeline', but names the image 'python:3\.11'"):
        pipeline_version(package(image="python:3.11"), "a:1", "kubeflow")


def test_a_pipeline_comes_before_its_versions_and_the_job_after_both():
    files = {path.name: yaml.load(text, Loader=yaml.CSafeLoader) for path, text in rendered().items()}
    waves = {
        name: int(document["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"])
        for name, document in files.items()
        if name.startswith("pipeline-")
    }
    versions = {name for name in waves if name.startswith("pipeline-version-")}
    assert versions
    assert max(waves[name] for name in waves.keys() - versions) < min(waves[name] for name in versions)
    hook = files["job-schedules.yaml"]["metadata"]["annotations"]["argocd.argoproj.io/hook"]
    assert hook == "PostSync"


def rendered():
    folder = REPO / "manifests/envs/dev/pipelines"
    return {path: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yaml"))}


def test_every_file_is_in_the_kustomization_and_in_one_namespace():
    files = {path.name: yaml.load(text, Loader=yaml.CSafeLoader) for path, text in rendered().items()}
    listed = files.pop("kustomization.yaml")["resources"]
    assert listed == ["../../../workloads/kubeflow-namespace", *sorted(files)]
    assert {document["metadata"]["namespace"] for document in files.values()} == {"kubeflow"}


def test_what_the_sdk_reads_back_is_what_was_compiled():
    from kfp import components

    folder = REPO / "manifests/envs/dev/pipelines"
    spec = yaml.load(
        (folder / "pipeline-version-score-batch.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader
    )["spec"]
    text = yaml.safe_dump_all([spec["pipelineSpec"], spec["platformSpec"]])
    loaded = components.load_component_from_text(text)
    compiled = components.load_component_from_file(str(REPO / "pipelines/compiled/score_batch.yaml"))
    found = loaded.pipeline_spec
    container = found.deployment_spec["executors"]["exec-score-batch"]["container"]
    assert container["image"] == "fairlead/pipeline:0.1.0"
    container["image"] = "fairlead/pipeline"
    assert found == compiled.pipeline_spec
    assert loaded.platform_spec == compiled.platform_spec


def test_what_yaml_1_1_would_take_for_something_else_is_quoted():
    document = {
        "n": "y",
        "plain": "a text",
        "on": "1e3",
        "version": "1.10",
        "many": "a\nb\n",
        "colon": "a: b",
        "none": "null",
    }
    text = dump(document)
    assert '"n": "y"' in text
    assert '"on": "1e3"' in text
    assert "plain: a text" in text
    assert "many: |\n  a\n  b\n" in text
    assert yaml.safe_load(text) == document


def test_settings_of_a_bucket_on_aws_name_no_endpoint():
    on_aws = environment(delete=("  endpoint: http://s3.fairlead-storage.svc:8333     # delete this line on AWS\n", ""))
    assert "AWS_ENDPOINT_URL" not in environment_variables(on_aws)
    assert environment_variables(environment())["AWS_ENDPOINT_URL"] == "http://s3.fairlead-storage.svc:8333"


def test_the_rendered_settings_are_all_that_steps_ask_for():
    steps = yaml.safe_load(STEPS.read_text(encoding="utf-8"))
    asked = set(steps["variables"]["config_maps"]["fairlead-environment"])
    assert set(environment_variables(environment())) - {"FAIRLEAD_COLLECTOR_URL"} == asked, "but what is the servers'"


def test_the_version_of_an_environment_is_read_from_its_file():
    assert rendered_version(REPO, "dev", "score-batch").startswith("score-batch-")
    with pytest.raises(SpecError, match="`fairlead render` writes it"):
        rendered_version(REPO, "dev", "no-such-pipeline")


def test_an_environment_that_is_not_there_is_an_error_that_names_the_nearest():
    with pytest.raises(SpecError, match="there is no environment 'prodution'; did you mean 'production'"):
        find_environment(REPO, "prodution")


def test_an_environment_has_the_name_of_its_folder(repo):
    (repo / "manifests/envs/dev").rename(repo / "manifests/envs/test")
    with pytest.raises(SpecError, match="name must be 'test' like its place, but is 'dev'"):
        environments(repo)


def test_a_schedule_of_a_pipeline_that_is_not_there_is_refused(repo):
    with pytest.raises(
        SpecError, match=r"pipelines\.schedules\.0\.pipeline: there is no 'retrain-model'; there is a-pipeline"
    ):
        pipeline_manifests(repo, [yaml.safe_dump_all(package())])


@pytest.mark.parametrize(
    ("cron", "problem"),
    [
        ("0 2 * * *", "must have six fields, the first for seconds, .* Did you mean '0 0 2"),
        ("@daily", "must have six fields"),
        ("0 0 24 * * *", "hour '24' of .* must be within 0 and 23"),
        ("0 0 2 * * MON", "weekday 'MON'"),
        ("0 0 2 9-5 * *", "day '9-5'"),
        ("0 */0 2 * * *", "minute .* must have a step within 1 and 59"),
    ],
)
def test_a_cron_that_would_be_misread_is_refused(cron, problem):
    with pytest.raises(SpecError, match=r"environment\.yaml:\d+: pipelines\.schedules\.0\.cron: .*" + problem):
        environment(cron=("0 30 2 * * 1", cron))


@pytest.mark.parametrize("cron", ["0 30 2 * * *", "*/10 * * * * *", "0 0 8-18/2 1,15 * ?"])
def test_a_cron_of_six_fields_is_taken(cron):
    assert environment(cron=("0 30 2 * * 1", cron)).pipelines.schedules[0].cron == cron


def test_two_schedules_of_one_name_are_refused():
    twice = "  schedules:\n    - {name: flight-delay-weekly, cron: '0 0 0 * * *'}\n"
    with pytest.raises(SpecError, match="'flight-delay-weekly' is there twice"):
        environment(again=("  schedules:\n", twice))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("request: 500m", "request: 3000m"), r"defaults\.cpu\.request: must not be above limit"),
        (("request: 1Gi", "request: 4096Mi"), r"defaults\.memory\.request: must not be above limit"),
        (("timeout: 30m", "timeout: 0m"), r"defaults\.timeout: must be 1m or more"),
        (("retries: 1 ", "retries: 11 "), r"defaults\.retries"),
        (
            ("train_model: {timeout", "train_model: {timeuot"),
            r"steps\.train_model\.timeuot: unknown key; did you mean 'timeout'",
        ),
    ],
)
def test_settings_of_steps_that_make_no_sense_are_refused(change, problem):
    text = STEPS.read_text(encoding="utf-8")
    assert change[0] in text
    with pytest.raises(SpecError, match=problem):
        load_text(text.replace(*change), Path("steps.yaml"), StepsSpec)
