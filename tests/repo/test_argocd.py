"""What a cluster is told to run is pinned, allowed by its project, and found where it says."""

import json
import re
from pathlib import Path

import pytest
import yaml

from fairlead.errors import SpecError
from fairlead.render.argocd import ENVIRONMENT_KINDS, PIPELINE_KINDS, PLATFORM_CLUSTER_KINDS, argocd_files
from fairlead.spec.load import load_document
from fairlead.spec.platform import PlatformSpec

REPO = Path(__file__).parents[2]
VERSIONS = REPO / "manifests/platform/versions.yaml"
COMPONENTS = load_document(VERSIONS, PlatformSpec).components
NAMESPACES_OF_OTHERS = {"kube-system", "default"}


def tree(tmp_path, settings="", versions="components: {}", environments=("dev",)):
    """A repository that holds what Argo CD's objects are made from, and nothing else."""
    for path, text in {
        "argocd/settings.yaml": "repository: https://git.example.com/fork.git\nenvironments: [dev]\nplatform: []\n",
        "manifests/platform/versions.yaml": versions,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(settings or text if "settings" in path else text, encoding="utf-8")
    for name in environments:
        folder = tmp_path / "manifests/envs" / name
        folder.mkdir(parents=True)
        text = (REPO / "manifests/envs/dev/environment.yaml").read_text(encoding="utf-8").replace("dev", name)
        (folder / "environment.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def objects(repo):
    """(kind, name) → object, of all that is rendered."""
    documents = [item for text in argocd_files(repo).values() for item in yaml.safe_load_all(text)]
    return {(item["kind"], item.get("metadata", {}).get("name")): item for item in documents}


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """The objects of a cluster that takes all components and all environments."""
    repo = tmp_path_factory.mktemp("everything")
    names = sorted(path.parent.name for path in REPO.glob("manifests/envs/*/environment.yaml"))
    settings = {"repository": "https://git.example.com/fork.git", "environments": names, "platform": list(COMPONENTS)}
    tree(repo, json.dumps(settings), VERSIONS.read_text(encoding="utf-8"), environments=())
    for name in names:
        path = f"manifests/envs/{name}/environment.yaml"
        (repo / path).parent.mkdir(parents=True)
        environment = yaml.safe_load((REPO / path).read_text(encoding="utf-8"))
        apart = {**environment.get("pipelines", {}), "namespace": f"kubeflow-{name}"}
        (repo / path).write_text(json.dumps({**environment, "pipelines": apart}), encoding="utf-8")
    for name in COMPONENTS:
        source = REPO / "manifests/platform" / name
        if source.is_dir():
            (repo / "manifests/platform" / name).symlink_to(source)
    return objects(repo)


def applications(everything):
    return {name: item for (kind, name), item in everything.items() if kind == "Application"}


def sources(application):
    spec = application["spec"]
    return spec["sources"] if "sources" in spec else [spec["source"]]


def test_what_is_committed_is_what_settings_make():
    rendered = argocd_files(REPO)
    for path, content in rendered.items():
        assert (REPO / path).read_text(encoding="utf-8") == content, "run `make render`"


def test_an_application_of_a_component_has_its_version_of_versions_yaml(everything):
    for name, component in COMPONENTS.items():
        first = sources(applications(everything)[name])[0]
        if component.repository and first["repoURL"] == component.repository:
            assert (first.get("chart"), first.get("path")) == (component.chart, component.path)
            assert first["targetRevision"] == component.version
        else:
            assert first["targetRevision"] == "main"


@pytest.mark.parametrize("version", ["'*'", "latest", "HEAD", "main", "^1.2.3", "~1.2", "1.x", "'>=1.0.0'", "1"])
def test_a_version_that_may_move_is_refused(tmp_path, version):
    component = f"{{purpose: a, repository: example.com/a, chart: a, version: {version}, namespace: a, wave: 1}}"
    text = f"components: {{a: {component}}}"
    with pytest.raises(SpecError, match=r"versions.yaml:1: components.a.version: "):
        argocd_files(tree(tmp_path, versions=text))


def test_values_and_objects_of_a_component_are_in_the_repository(everything):
    for name, application in applications(everything).items():
        for source in sources(application):
            for value in source.get("helm", {}).get("valueFiles", []):
                assert (REPO / value.removeprefix("$ours/")).is_file(), name
            if source["repoURL"] == "https://git.example.com/fork.git" and name != "fairlead":
                assert "path" not in source or (REPO / source["path"] / "kustomization.yaml").is_file(), name


def test_every_folder_of_the_platform_belongs_to_a_component():
    folders = {path.name for path in (REPO / "manifests/platform").iterdir() if path.is_dir()}
    assert folders <= set(COMPONENTS)


def test_a_project_allows_the_source_and_the_destination_of_each_of_its_applications(everything):
    for name, application in applications(everything).items():
        project = everything["AppProject", application["spec"]["project"]]["spec"]
        assert application["spec"]["destination"] in project["destinations"], name
        assert {source["repoURL"] for source in sources(application)} <= set(project["sourceRepos"]), name


def test_no_project_allows_everything(everything):
    projects = [item for (kind, _), item in everything.items() if kind == "AppProject"]
    assert len(projects) == 3 + 2 * 3
    for project in projects:
        assert "*" not in json.dumps(project["spec"])


def test_an_environment_may_have_no_secret_no_cluster_role_and_nothing_in_another_namespace(everything):
    project = everything["AppProject", "fairlead-dev"]["spec"]
    assert project["destinations"] == [{"server": "https://kubernetes.default.svc", "namespace": "fairlead-dev"}]
    assert project["clusterResourceWhitelist"] == [{"group": "", "kind": "Namespace"}]
    assert {"group": "", "kind": "Secret"} not in project["namespaceResourceWhitelist"]


def kinds_in(folder):
    """(group, kind) of each object under a folder that kubectl would accept."""
    for path in sorted(folder.rglob("*.yaml")):
        for item in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if isinstance(item, dict) and {"apiVersion", "kind", "metadata"} <= set(item):
                local = item["metadata"].get("annotations", {}).get("config.kubernetes.io/local-config") == "true"
                group, slash, _ = item["apiVersion"].rpartition("/")
                if not local and not group.startswith("kustomize.config.k8s.io"):
                    yield path, (group if slash else "", item["kind"])


def test_an_environments_project_allows_every_kind_that_it_has():
    for path, kind in kinds_in(REPO / "manifests/envs"):
        pipelines = path.parent.name == "pipelines"
        assert kind in (PIPELINE_KINDS if pipelines else [*ENVIRONMENT_KINDS, ("", "Namespace")]), path
    for path, kind in kinds_in(REPO / "manifests/workloads"):
        assert kind in {*ENVIRONMENT_KINDS, *PIPELINE_KINDS}, path


def test_our_objects_beside_components_are_allowed():
    for path, kind in kinds_in(REPO / "manifests/platform"):
        group, name = kind
        clustered = name in {"Namespace", "GatewayClass"} or (
            name.startswith("Cluster") and group != "postgresql.cnpg.io"
        )
        assert not clustered or kind in PLATFORM_CLUSTER_KINDS, path


def test_namespaces_that_the_gateway_admits_are_those_of_environments():
    gateway = yaml.safe_load(
        (REPO / "manifests/platform/envoy-gateway/objects/gateway.yaml").read_text(encoding="utf-8")
    )
    [listener] = gateway["spec"]["listeners"]
    wanted = listener["allowedRoutes"]["namespaces"]["selector"]["matchLabels"]
    for path, kind in kinds_in(REPO / "manifests/envs"):
        if kind == ("", "Namespace"):
            labels = yaml.safe_load(path.read_text(encoding="utf-8"))["metadata"]["labels"]
            assert wanted.items() <= labels.items(), path


def test_no_two_components_share_a_namespace_by_accident():
    owners = {}
    for name, component in COMPONENTS.items():
        for namespace in set(component.namespaces) - NAMESPACES_OF_OTHERS:
            owners.setdefault(namespace, []).append(name.removesuffix("-crds"))
    assert {namespace: names for namespace, names in owners.items() if len(set(names)) > 1} == {}


def test_definitions_come_before_what_uses_them():
    for name, component in COMPONENTS.items():
        if name.endswith("-crds"):
            assert component.wave < COMPONENTS[name.removesuffix("-crds")].wave
    assert COMPONENTS["cert-manager"].wave < min(COMPONENTS[name].wave for name in ("kserve", "kubeflow-pipelines"))
    assert COMPONENTS["cloudnative-pg"].wave < COMPONENTS["mlflow"].wave


def test_every_application_heals_prunes_retries_and_says_when_it_fails(everything):
    sets = [item["spec"]["template"] for (kind, _), item in everything.items() if kind == "ApplicationSet"]
    assert len(sets) == 3
    for item in [*applications(everything).values(), *sets]:
        assert item["spec"]["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True}
        assert item["spec"]["syncPolicy"]["retry"]["limit"] > 0
        assert "notifications.argoproj.io/subscribe.on-health-degraded.fairlead" in item["metadata"]["annotations"]


def test_only_folders_of_listed_environments_become_applications(tmp_path):
    rendered = objects(tree(tmp_path, environments=("dev", "staging")))
    for name in ("environments", "models", "pipelines"):
        [generator] = rendered["ApplicationSet", name]["spec"]["generators"]
        elements = generator["matrix"]["generators"][0]["list"]["elements"]
        assert elements == [{"environment": "dev", "namespace": "fairlead-dev", "pipelines": "kubeflow"}]


def test_a_cluster_that_has_everything_gets_no_platform(tmp_path):
    rendered = objects(tree(tmp_path))
    assert [name for kind, name in rendered if kind == "Application"] == ["fairlead"]
    assert ("AppProject", "fairlead-platform") not in rendered


def test_a_component_that_there_is_not_is_told_with_those_that_there_are(tmp_path):
    settings = "repository: https://git.example.com/a.git\nenvironments: []\nplatform: [istio]\n"
    with pytest.raises(SpecError, match=r"settings.yaml: platform: .*but names istio"):
        argocd_files(tree(tmp_path, settings))


def test_an_environment_that_there_is_not_is_told_with_those_that_there_are(tmp_path):
    settings = "repository: https://git.example.com/a.git\nenvironments: [test]\nplatform: []\n"
    with pytest.raises(SpecError, match=r"settings.yaml: environments: must be folders .*\(dev\), but names test"):
        argocd_files(tree(tmp_path, settings))


def test_two_environments_of_a_cluster_that_write_into_one_namespace_are_refused(tmp_path):
    settings = "repository: https://git.example.com/a.git\nenvironments: [dev, staging]\nplatform: []\n"
    with pytest.raises(SpecError, match=r"settings.yaml: environments: .*dev and staging both have 'kubeflow'"):
        argocd_files(tree(tmp_path, settings, environments=("dev", "staging")))


def test_patches_stand_on_the_version_of_versions_yaml(tmp_path):
    settings = "repository: https://git.example.com/a.git\nenvironments: []\nplatform: [pipelines]\n"
    versions = (
        "components:\n  pipelines: {purpose: a, repository: https://github.com/a/b, path: c, version: 2.0.0, "
        "namespace: a, wave: 1}\n"
    )
    repo = tree(tmp_path, settings, versions)
    patched = repo / "manifests/platform/pipelines/kustomization.yaml"
    patched.parent.mkdir()
    patched.write_text("resources: ['https://github.com/a/b//c?ref=2.0.0']\n", encoding="utf-8")
    assert sources(objects(repo)["Application", "pipelines"])[0]["path"] == "manifests/platform/pipelines"
    patched.write_text("resources: ['https://github.com/a/b//c?ref=1.9.0']\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r"must have 'https://github.com/a/b//c\?ref=2.0.0'"):
        argocd_files(repo)


def test_renovate_finds_every_version():
    config = json.loads((REPO / "renovate.json").read_text(encoding="utf-8"))
    text = VERSIONS.read_text(encoding="utf-8")
    found = []
    for manager in config["customManagers"]:
        if re.search(manager["managerFilePatterns"][0].strip("/"), "manifests/platform/versions.yaml"):
            for pattern in manager["matchStrings"]:
                found += [match["currentValue"] for match in re.finditer(pattern.replace("(?<", "(?P<"), text)]
    wanted = [component.version for component in COMPONENTS.values() if component.version]
    assert sorted(found) == sorted(wanted)
