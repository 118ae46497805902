"""The committed manifests: fresh, safe to read alone, and each value that a release gives has its place."""

import re
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from fairlead.errors import SpecError
from fairlead.render.files import COMPILED, applied, compare, mend
from fairlead.render.manifests import manifests
from fairlead.rollout.file import release_path, render_release, write_release
from fairlead.rollout.release import Release
from fairlead.spec.load import load_environment

REPO = Path(__file__).parents[2]
RENDERED = manifests(REPO)
FIRST = Release(model="flight-delay", stable="1", since="2026-11-21T12:00:00Z")


def read(text):
    return YAML(typ="safe").load(text)


def everything(repo):
    return applied(repo, [path.read_text() for path in sorted((repo / COMPILED).glob("*.yaml"))])


OBJECTS = {path: read(text) for path, text in RENDERED.items()}
APPLIED = {path: value for path, value in OBJECTS.items() if path.name not in ("kustomization.yaml", "release.yaml")}


@pytest.fixture
def repo(tmp_path):
    """What manifests are made of, and the manifests."""
    for folder in ("manifests", "pipelines", "argocd"):
        shutil.copytree(REPO / folder, tmp_path / folder)
    return tmp_path


def containers(value):
    """All containers anywhere in an object."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("containers", "initContainers"):
                yield from inner
            yield from containers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from containers(inner)


def test_they_are_fresh():
    assert compare(REPO, everything(REPO)) == ([], []), "run `make render`"


def test_a_file_that_was_edited_and_one_that_no_spec_makes_are_found_and_mended(repo):
    route = Path("manifests/workloads/models/flight-delay/http-route.yaml")
    text = (repo / route).read_text()
    (repo / route).write_text(text + "# by hand\n")
    old = Path("manifests/workloads/models/churn/service-stable.yaml")
    (repo / old.parent).mkdir()
    (repo / old).write_text(text)
    made = everything(repo)
    assert compare(repo, made) == ([route], [old])
    mend(repo, made)
    assert compare(repo, made) == ([], [])
    assert not (repo / old.parent).exists()


def test_a_file_written_by_a_person_is_left_alone(repo):
    own = repo / "manifests/envs/dev/flight-delay/notes.yaml"
    own.write_text("# ours\n")
    mend(repo, everything(repo))
    assert own.exists()


def test_a_release_that_was_edited_by_hand_is_mended(repo):
    path = release_path("dev", "flight-delay")
    environment = load_environment(repo / "manifests/envs/dev/environment.yaml")
    write_release(repo / path, FIRST, environment)
    assert compare(repo, everything(repo)) == ([], [])
    whole = (repo / path).read_text()
    (repo / path).write_text(whole.replace("stable: '1'", "stable: '2'"))
    assert compare(repo, everything(repo)) == ([path], [])
    mend(repo, everything(repo))
    assert "storageUri: s3://fairlead-dev/bundles/flight-delay/2" in (repo / path).read_text()


def test_a_new_environment_and_a_new_model_are_a_folder(repo):
    shutil.copytree(repo / "manifests/envs/dev", repo / "manifests/envs/test")
    environment = repo / "manifests/envs/test/environment.yaml"
    environment.write_text(environment.read_text().replace("dev", "test"))
    spec = (repo / "pipelines/models/flight-delay.yaml").read_text()
    (repo / "pipelines/models/churn.yaml").write_text(spec.replace("name: flight-delay", "name: churn"))
    shutil.copytree(repo / "manifests/envs/test/flight-delay", repo / "manifests/envs/test/churn")
    made = everything(repo)
    whole = read(made[Path("manifests/envs/test/churn/kustomization.yaml")])
    assert whole["namespace"] == "fairlead-test"
    assert whole["resources"] == ["../../../workloads/models/churn", "prometheus-rule.yaml", "release.yaml"]
    assert read(made[Path("manifests/workloads/models/churn/http-route.yaml")])["metadata"]["name"] == "churn"


@pytest.mark.parametrize(
    ("environment", "folder", "message"),
    [
        ("dev", "churn", "must be named like a model of pipelines/models/, but there is no churn.yaml"),
        ("qa", "flight-delay", "name must be 'qa' like its place, but is 'dev'"),
    ],
)
def test_a_folder_that_fits_no_spec_is_told(repo, environment, folder, message):
    if environment != "dev":
        shutil.copytree(repo / "manifests/envs/dev", repo / "manifests/envs" / environment)
    if folder != "flight-delay":
        shutil.copytree(repo / "manifests/envs/dev/flight-delay", repo / "manifests/envs/dev" / folder)
    with pytest.raises(SpecError, match=re.escape(message)):
        everything(repo)


@pytest.mark.parametrize("path", APPLIED, ids=str)
def test_a_file_is_called_like_its_kind_and_is_in_its_kustomization(path):
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", APPLIED[path]["kind"]).lower().replace("httproute", "http-route")
    assert path.name.startswith(kind) or kind == "external-secret"
    assert path.name in OBJECTS[path.parent / "kustomization.yaml"]["resources"]


@pytest.mark.parametrize("path", APPLIED, ids=str)
def test_every_container_is_restricted_and_bounded_and_its_image_is_chosen_by_the_environment(path):
    for container in containers(APPLIED[path]):
        security = container["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["image"] in ("fairlead/serving", "fairlead/pipeline")
        if path.name != "serving-runtime.yaml":  # those of its container come from each model's scale
            assert set(container["resources"]) == {"requests", "limits"}


@pytest.mark.parametrize("environment", ["dev", "staging", "production"])
def test_each_value_of_a_release_has_its_place(environment):
    spec = load_environment(REPO / "manifests/envs" / environment / "environment.yaml")
    release = read(render_release(FIRST, spec))
    whole = OBJECTS[Path("manifests/envs") / environment / "flight-delay/kustomization.yaml"]
    copied = [item["source"]["fieldPath"] for item in whole["replacements"]]
    arms = [f"serve.{arm}.{key}" for arm in ("stable", "candidate") for key in ("version", "stop", "storageUri")]
    assert copied == [*arms, "serve.rules"]
    for item in whole["replacements"]:
        assert at(release, item["source"]["fieldPath"])
        for target in item["targets"]:
            (found,) = [
                value
                for path, value in APPLIED.items()
                if path.parent.name == "flight-delay"
                and value["kind"] == target["select"]["kind"]
                and value["metadata"]["name"] == target["select"]["name"]
            ]
            for field in target["fieldPaths"]:
                at(found, field)


def at(value, path):
    """What is at a field path of kustomize; a KeyError or an IndexError if there is nothing."""
    for part in re.findall(r"\[[^\]]*\]|[^.\[\]]+", path):
        text = part.strip("[]")
        if "=" in text:
            key, _, wanted = text.partition("=")
            (value,) = [item for item in value if item[key] == wanted]
        else:
            value = value[int(text)] if isinstance(value, list) else value[text]
    return value


def test_the_places_of_a_release_are_looked_for():
    with pytest.raises(KeyError):
        at({"metadata": {"annotations": {"a.b/c": "1"}}}, "metadata.annotations.[a.b/d]")
    assert at({"metadata": {"annotations": {"a.b/c": "1"}}}, "metadata.annotations.[a.b/c]") == "1"


def test_no_secret_is_in_a_manifest():
    assert all(value["kind"] != "Secret" for value in APPLIED.values())
    for path, text in RENDERED.items():
        assert not re.search(r"(?i)(password|secret_access_key)\s*[:=]\s*\S", text), path
