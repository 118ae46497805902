"""The manifests as a cluster sees them: built by kustomize, held against its own schemas, offered to its API server."""

import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from ruamel.yaml import YAML

from fairlead.render.files import mend
from fairlead.render.manifests import manifests
from fairlead.rollout.file import release_path, write_release
from fairlead.rollout.release import Release
from fairlead.rollout.serve import serve_of
from fairlead.rollout.stages import Start, step
from fairlead.spec.load import load_environment
from fairlead.spec.model import QualityRule, RolloutSpec
from tests.cluster.programs import RefusedError, kubeconform, kubectl, kustomize
from tests.cluster.schemas import write_schemas

pytestmark = pytest.mark.cluster

REPO = Path(__file__).parents[2]
ENVIRONMENTS = ["dev", "staging", "production"]
MODEL = "flight-delay"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
IDLE = Release(model=MODEL, stable="1", since=NOW)
START = Start(at=NOW + timedelta(minutes=1), revision=1, version="2", run="run")
RELEASES = {
    "idle": IDLE,
    "shadow": step(IDLE, START, RolloutSpec(mirror_percent=50)),
    "canary": step(IDLE, START, RolloutSpec(shadow_minutes=0, steps=[20])),
    "ab": step(IDLE, START, RolloutSpec(strategy="ab", shadow_minutes=0, quality=QualityRule())),
}


@pytest.fixture(scope="module", autouse=True)
def cluster() -> None:
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("KUBECONFIG must name a cluster for the tests with the marker `cluster`")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A copy of what manifests are made of, and of the manifests."""
    for folder in ("manifests", "pipelines/models", "argocd"):
        shutil.copytree(REPO / folder, tmp_path / folder)
    return tmp_path


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_schemas(tmp_path_factory.mktemp("schemas"))


@pytest.fixture
def namespace(repo: Path) -> Iterator[str]:
    """The namespace of `dev` in the copy: one of its own, which goes with all that is in it."""
    name = f"fairlead-test-{uuid4().hex[:6]}"
    environment = repo / "manifests/envs/dev/environment.yaml"
    environment.write_text(environment.read_text().replace("fairlead-dev", name))
    mend(repo, manifests(repo))
    kubectl("apply", "--server-side", "-f", str(repo / "manifests/envs/dev/common/namespace.yaml"))
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def build(repo: Path, environment: str, release: Release) -> str:
    """All that one environment applies, as YAML."""
    folder = repo / "manifests/envs" / environment
    write_release(repo / release_path(environment, MODEL), release, load_environment(folder / "environment.yaml"))
    return "\n---\n".join(kustomize("build", str(folder / name)) for name in ("common", MODEL))


def objects(text: str) -> dict[tuple[str, str], Any]:
    return {(item["kind"], item["metadata"]["name"]): item for item in YAML(typ="safe").load_all(text) if item}


def in_dry_run(text: str) -> str:
    """What the API server says to it, webhooks included; its namespace must exist."""
    return kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", text=text)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_environment_fits_the_clusters_own_schemas_in_every_stage(
    repo: Path, schemas: str, environment: str
) -> None:
    texts = [build(repo, environment, release) for release in RELEASES.values()]
    told = kubeconform(
        "-strict", "-summary", "-output", "json", "-schema-location", schemas, text="\n---\n".join(texts)
    )
    summary = json.loads(told)["summary"]
    assert (summary["valid"], summary["skipped"]) == (sum(len(objects(text)) for text in texts), 0)


@pytest.mark.parametrize("stage", RELEASES)
def test_kustomize_copies_a_release_into_its_places(repo: Path, stage: str) -> None:
    release = RELEASES[stage]
    found = objects(build(repo, "dev", release))
    serve = serve_of(release, load_environment(repo / "manifests/envs/dev/environment.yaml"))
    for arm, expected in (("stable", serve.stable), ("candidate", serve.candidate)):
        service = found["InferenceService", f"{MODEL}-{arm}"]
        assert service["metadata"]["annotations"]["fairlead.dev/version"] == expected.version
        assert service["metadata"]["annotations"]["serving.kserve.io/stop"] == expected.stop
        assert service["spec"]["predictor"]["model"]["storageUri"] == expected.storage_uri
        assert service["spec"]["predictor"]["initContainers"][0]["args"] == [expected.storage_uri, "/mnt/models"]
    assert found["HTTPRoute", MODEL]["spec"]["rules"] == serve.rules
    assert ("Release", MODEL) not in found


@pytest.mark.parametrize(
    ("right", "wrong", "kind"),
    [
        ("scaleMetric:", "scalesMetric:", "InferenceService"),
        ("supportedModelFormats:", "supportedModelFormat:", "ServingRuntime"),
        ("hostnames:", "hostname:", "HTTPRoute"),
        ("maxUnavailable: 1", "maxUnavailabel: 1", "PodDisruptionBudget"),
        ("podMetricsEndpoints:", "podMetricEndpoints:", "PodMonitor"),
        ("policyTypes:", "policyType:", "NetworkPolicy"),
    ],
)
def test_a_misspelled_field_is_refused(
    repo: Path, schemas: str, namespace: str, right: str, wrong: str, kind: str
) -> None:
    text = build(repo, "dev", IDLE)
    assert right in text
    bad = text.replace(right, wrong)
    with pytest.raises(RefusedError, match=kind):
        kubeconform("-strict", "-schema-location", schemas, text=bad)
    with pytest.raises(RefusedError, match=rf"\.{wrong.partition(':')[0]}: field not declared in schema"):
        in_dry_run(bad)


@pytest.mark.parametrize("stage", RELEASES)
def test_the_api_server_takes_every_object(repo: Path, namespace: str, stage: str) -> None:
    text = build(repo, "dev", RELEASES[stage])
    assert len(in_dry_run(text).splitlines()) == len(objects(text))


def test_a_pod_that_breaks_the_rules_is_refused_and_one_of_ours_is_not(repo: Path, namespace: str) -> None:
    runtime = objects(build(repo, "dev", IDLE))["ServingRuntime", "fairlead-onnx"]["spec"]
    service = objects(build(repo, "dev", IDLE))["InferenceService", f"{MODEL}-stable"]["spec"]["predictor"]
    spec = {
        "automountServiceAccountToken": False,
        "containers": runtime["containers"],
        "initContainers": service["initContainers"],
        "volumes": runtime["volumes"],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ours", "namespace": namespace}, "spec": spec}
    assert "created" in kubectl("create", "--dry-run=server", "-f", "-", text=json.dumps(pod))
    runtime["containers"][0]["securityContext"] = {"privileged": True}
    with pytest.raises(RefusedError, match="violates PodSecurity"):
        kubectl("create", "--dry-run=server", "-f", "-", text=json.dumps(pod))
