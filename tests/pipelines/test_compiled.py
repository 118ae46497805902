"""The compiled pipelines, as a cluster would read them."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

COMPILED = sorted((Path(__file__).parents[2] / "pipelines" / "compiled").glob("*.yaml"))


@pytest.fixture(params=COMPILED, ids=lambda path: path.stem)
def package(request):
    package, platform = YAML(typ="safe").load_all(request.param.read_text(encoding="utf-8"))
    return {**package, "platform": platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]}


def dags(package):
    return [part["dag"] for part in (package["root"], *package["components"].values()) if "dag" in part]


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
    for dag in dags(package):
        for task in dag["tasks"].values():
            if task["cachingOptions"]:
                assert "code_version" in task["inputs"]["parameters"]


def test_no_name_is_one_that_yaml_1_1_reads_as_a_boolean(package):
    names = set()
    for component in package["components"].values():
        for kind in ("inputDefinitions", "outputDefinitions"):
            for group in component.get(kind, {}).values():
                names |= set(group)
    assert not names & {"y", "n", "yes", "no", "on", "off"}


def test_every_step_has_a_name_for_people(package):
    titles = [task["taskInfo"]["name"] for dag in dags(package) for task in dag["tasks"].values()]
    assert all(title[0].isupper() and "-" not in title for title in titles)


def test_every_step_says_how_much_it_needs_and_how_long_it_may_take(package):
    for name, executor in package["deploymentSpec"]["executors"].items():
        resources = executor["container"]["resources"]
        assert {"resourceCpuRequest", "resourceCpuLimit", "resourceMemoryRequest", "resourceMemoryLimit"} <= set(
            resources
        )
        assert int(package["platform"][name]["activeDeadlineSeconds"]) >= 60


def test_every_step_gets_the_settings_and_secrets_of_its_environment(package):
    for name in package["deploymentSpec"]["executors"]:
        platform = package["platform"][name]
        assert [source["configMapName"] for source in platform["configMapAsEnv"]] == ["fairlead-environment"]
        assert [source["secretName"] for source in platform["secretAsEnv"]] == [
            "fairlead-storage",
            "fairlead-online-store",
        ]


def test_a_long_step_has_more_time_and_a_step_that_must_look_again_no_cache():
    train, _ = YAML(typ="safe").load_all((COMPILED[0].parent / "train_and_release.yaml").read_text(encoding="utf-8"))
    retrain, platform = YAML(typ="safe").load_all(
        (COMPILED[0].parent / "retrain_model.yaml").read_text(encoding="utf-8")
    )
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors["exec-train-model"]["activeDeadlineSeconds"] == "7200"
    assert executors["exec-plan-run"]["activeDeadlineSeconds"] == "600"
    assert train["root"]["dag"]["tasks"]["train-model"]["cachingOptions"] == {"enableCache": True}
    assert retrain["root"]["dag"]["tasks"]["plan-run"]["cachingOptions"] == {}


def test_results_are_of_the_kinds_that_the_ui_shows():
    package, _ = YAML(typ="safe").load_all((COMPILED[0].parent / "train_and_release.yaml").read_text(encoding="utf-8"))
    shown = {
        name: artifact["artifactType"]["schemaTitle"]
        for component in package["components"].values()
        for name, artifact in component["outputDefinitions"].get("artifacts", {}).items()
    }
    assert shown["metrics"] == "system.Metrics"
    assert shown["curve"] == "system.ClassificationMetrics"
    assert shown["verdict"] == "system.Markdown"
    assert shown["overview"] == "system.HTML"
