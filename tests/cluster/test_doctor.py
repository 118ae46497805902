"""`fairlead doctor` on a real cluster, with faults planted in a namespace of its own.

Needs KServe, and the image for serving.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from fairlead.render.files import applied, mend
from fairlead.rollout.file import release_path, write_release
from fairlead.rollout.release import Release
from fairlead.spec.load import load_environment

REPO = Path(__file__).parents[2]
NO_IMAGE = "localhost/fairlead/there-is-no-such-image:1"
MODEL = "flight-delay"
STABLE = f"{MODEL}-stable"
CONFIG = "fairlead-environment"

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def repo(tmp_path_factory, namespace, pipelines_namespace, image):
    """A checkout whose environment `dev` is in the namespaces of the test; its storage is away."""
    repo = tmp_path_factory.mktemp("checkout")
    for folder in ("manifests", "pipelines", "argocd", "feature_repo"):
        shutil.copytree(REPO / folder, repo / folder)
    file = repo / "manifests/envs/dev/environment.yaml"
    content = yaml.safe_load(file.read_text())
    content["pipelines"]["namespace"] = pipelines_namespace.name
    content["storage"]["endpoint"] = f"http://s3.{namespace.name}.svc:8333"
    file.write_text(yaml.safe_dump({**content, "namespace": namespace.name}))
    images = repo / "manifests/envs/dev/images.yaml"
    images.write_text(yaml.safe_dump({**yaml.safe_load(images.read_text()), "serving": image("serving")}))
    release(repo, "1")
    mend(repo, applied(repo, [path.read_text() for path in sorted((repo / "pipelines/compiled").glob("*.yaml"))]))
    return repo


@pytest.fixture(scope="module")
def environment(repo, namespace, pipelines_namespace):
    """The environment's settings and pipelines, as applied."""
    for place, folder in ((namespace, "common"), (pipelines_namespace, "pipelines")):
        place.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(repo / "manifests/envs/dev" / folder))
    return repo


def release(repo, version):
    environment = load_environment(repo / "manifests/envs/dev/environment.yaml")
    content = Release(model=MODEL, stable=version, since=datetime.now(UTC))
    write_release(repo / release_path("dev", MODEL), content, environment)


def service(version, image):
    """The stable service of a release, with a server that needs no bundle in place of ours."""
    safe = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
    safe |= {"runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    loader = {"name": "storage-initializer", "image": image, "command": ["python", "-c", "pass"]}
    server = {"name": "kserve-container", "image": image, "command": ["python", "-m", "http.server", "8080"]}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": STABLE,
            "labels": {"networking.kserve.io/visibility": "cluster-local"},
            "annotations": {
                "serving.kserve.io/deploymentMode": "Standard",
                "serving.kserve.io/stop": "false",
                "fairlead.dev/version": version,
            },
        },
        "spec": {
            "predictor": {
                "minReplicas": 1,
                "maxReplicas": 1,
                "initContainers": [{**loader, "args": [f"s3://bucket/{version}"], "securityContext": safe}],
                "containers": [{**server, "ports": [{"containerPort": 8080}], "securityContext": safe}],
            }
        },
    }


def doctor(repo, *words, **environ):
    """The exit code, and what was found: what → findings."""
    command = [str(Path(sys.executable).with_name("fairlead")), "doctor", "--env", "dev", "--json", *words]
    whole = {**os.environ, "FAIRLEAD_REPO": str(repo), **environ}
    done = subprocess.run(command, env=whole, capture_output=True, text=True, check=False)
    if not done.stdout:
        return done.returncode, done.stderr
    found = {}
    for item in json.loads(done.stdout)["findings"]:
        found.setdefault(item["what"], []).append(item)
    return done.returncode, found


def wait_for(look, seconds=120):
    end = time.monotonic() + seconds
    while not (found := look())[0]:
        assert time.monotonic() < end, found
        time.sleep(1)


def test_what_was_applied_is_well(environment, namespace, pipelines_namespace):
    code, found = doctor(environment)
    well = {what for what, items in found.items() if all(item["state"] == "ok" for item in items)}
    place = namespace.name
    assert {f"ConfigMap {place}/{CONFIG}", f"ServingRuntime {place}/fairlead-onnx", f"Namespace {place}"} <= well
    assert f"ConfigMap {pipelines_namespace.name}/{CONFIG}" in well
    assert {"kind InferenceService", "kind HTTPRoute", "kind Application", "kind PipelineVersion"} <= well
    assert sum(what.startswith("PipelineVersion") for what in well) == 4
    assert code == 1  # the Secrets are missing


def test_a_missing_key_of_a_secret_is_named_and_its_mend_mends_it(environment, namespace):
    what = f"Secret {namespace.name}/fairlead-storage"
    namespace.kubectl("create", "secret", "generic", "fairlead-storage", "--from-literal=AWS_ACCESS_KEY_ID=precious")
    _, found = doctor(environment)
    (item,) = found[what]
    assert (item["state"], item["found"]) == ("problem", "has no key AWS_SECRET_ACCESS_KEY")
    assert "precious" not in json.dumps(found)
    subprocess.run(item["mend"], shell=True, check=True)
    assert doctor(environment)[1][what][0]["state"] == "ok"


def test_settings_that_were_edited_by_hand_are_found_and_their_mend_mends_them(environment, namespace):
    what = f"ConfigMap {namespace.name}/{CONFIG}"
    namespace.kubectl("patch", "configmap", CONFIG, "-p", json.dumps({"data": {"AWS_REGION": "moon"}}))
    item = doctor(environment)[1][what][0]
    assert item["state"] == "problem"
    assert "must have AWS_REGION = 'us-east-1', but it is 'moon'" in item["found"]
    subprocess.run(item["mend"], shell=True, check=True, cwd=environment)
    assert doctor(environment)[1][what][0]["state"] == "ok"


def told(repo, name, state, *words):
    """Whether a service is in that state for these words, and what was told instead."""
    (item,) = next(items for what, items in doctor(repo)[1].items() if what.endswith(f"/{name}"))
    return item["state"] == state and all(word in item["found"] for word in words), item


def test_a_storage_that_is_away_is_told_by_who_asked_it(environment, namespace):
    assert told(environment, "s3", "problem", "is not there: the storage is http://s3.")[0]
    namespace.kubectl("apply", "--server-side", "-k", str(environment / "manifests/envs/dev" / MODEL))
    address = "s3://fairlead-dev/bundles/flight-delay/1"
    wait_for(lambda: told(environment, STABLE, "problem", "version 1 does not", address, "nothing answers"), 300)
    assert told(environment, f"{MODEL}-candidate", "ok", "stopped")[0]
    assert told(environment, MODEL, "problem", "has not looked at it")[0]
    namespace.kubectl("delete", "-k", str(environment / "manifests/envs/dev" / MODEL))


def test_a_version_whose_image_is_missing_is_told_from_the_one_that_serves_on(environment, namespace, image):
    namespace.apply(service("1", image("serving")))
    wait_for(lambda: told(environment, STABLE, "ok", "version 1 answers"))
    release(environment, "2")
    assert told(environment, STABLE, "problem", "must have fairlead.dev/version=2 as its release.yaml, but it is 1")[0]
    namespace.apply(service("2", NO_IMAGE))
    said = ["version 2 does not start", "Image", NO_IMAGE, "version 1 answers"]
    wait_for(lambda: told(environment, STABLE, "problem", *said))


def test_a_user_who_may_not_read_is_told_what_cannot_be_told(environment, namespace, tmp_path):
    cluster = json.loads(namespace.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
    cluster["users"][0]["user"] = {"token": namespace.kubectl("create", "token", "default").strip()}
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(cluster))
    code, found = doctor(environment, "--kubeconfig", str(file))
    assert code == 1
    (item,) = found[f"Secret {namespace.name}/fairlead-storage"]
    assert item["state"] == "cannot tell"
    assert "forbidden" in item["found"]
    assert found["kind InferenceService"][0]["state"] == "ok"


def test_without_a_cluster_it_says_so_and_ends_with_2(environment, tmp_path):
    file = tmp_path / "kubeconfig"
    code, said = doctor(environment, "--kubeconfig", str(file))
    assert (code, "names none" in said) == (2, True), said
    cluster = {"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}
    user, context = {"name": "u", "user": {}}, {"name": "x", "context": {"cluster": "c", "user": "u"}}
    content = {"apiVersion": "v1", "kind": "Config", "current-context": "x"}
    file.write_text(json.dumps(content | {"clusters": [cluster], "users": [user], "contexts": [context]}))
    code, said = doctor(environment, KUBECONFIG=str(file))
    assert (code, "https://127.0.0.1:1 does not answer" in said) == (2, True), said
    assert "Traceback" not in said
