"""The whole loop on a cluster: one file applied, a model trained in a pod, released by a commit, asked by callers.

Besides KUBECONFIG and the images: FAIRLEAD_TEST_GATEWAY (`namespace/name` of a Gateway) and FAIRLEAD_TEST_GATEWAY_URL
(its address here). Argo CD must be able to read a repository of this machine.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import httpx
import numpy as np
import pyarrow as pa
import pytest
import yaml

from fairlead.adapters.bundles import open_bundles
from fairlead.adapters.delta import DeltaTables
from fairlead.adapters.s3_arrow import dataset, filesystem
from fairlead.rollout.file import release_path, write_release
from fairlead.rollout.release import Release
from fairlead.spec.load import load_environment
from tests.cluster.conftest import Namespace
from tests.cluster.programs import kubectl
from tests.cluster.stand_ins import ACCESS, STORAGE, stand_ins, wait_for_all
from tests.local.conftest import AS_OF, _shrink

pytestmark = pytest.mark.cluster

REPO = Path(__file__).parents[2]
NAMESPACE = Namespace("fairlead-dev")
MODEL, HOST = "flight-delay", "flight-delay.dev.models.example.com"
BUCKET = "s3://fairlead-dev"
COLUMNS = ["carrier", "origin", "dest", "distance", "hour", "weekday", "tailnum"]
ASKED_AT = f"{AS_OF}T06:00:00+00:00"
ROWS = 200
REFRESH = "argocd.argoproj.io/refresh=normal"
SEEN_SECONDS = 5.0
"""How long the endpoint is watched where nothing may change."""


def git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=A Person", "-c", "user.email=p@example.com", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def wait_for(what: str, look: Callable[[], Any], seconds: float = 300) -> Any:
    """The first true answer of `look`."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"{what}: not within {seconds} s\n{applications()}"
        time.sleep(0.5)
    return found


def applications() -> str:
    return kubectl("get", "applications", "-n", "argocd", "-o", "wide", check=False)


def status(application: str) -> dict[str, Any]:
    text = kubectl("get", "application", application, "-n", "argocd", "--ignore-not-found", "-o", "json")
    found: dict[str, Any] = json.loads(text).get("status", {}) if text else {}
    return found


def is_well(application: str, commit: str) -> bool:
    """Whether a commit is applied, and all of it healthy."""
    found = status(application)
    sync = found.get("sync", {})
    healthy = found.get("health", {}).get("status") == "Healthy"
    return healthy and sync.get("status") == "Synced" and sync.get("revision") == commit


@dataclass
class Fork:
    """The repository as a platform engineer has it, and its remote."""

    work: Path
    bare: Path

    def render(self) -> None:
        program = str(Path(sys.executable).with_name("fairlead"))
        environ = {**os.environ, "FAIRLEAD_REPO": str(self.work)}
        done = subprocess.run(
            [program, "render"], env=environ, cwd=self.work, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def edit(self, path: str, change: Callable[[Any], Any]) -> None:
        file = self.work / path
        file.write_text(yaml.safe_dump(change(yaml.safe_load(file.read_text(encoding="utf-8")))), encoding="utf-8")

    def push(self, message: str) -> str:
        """Commit and push, and tell Argo CD as a webhook would; returns the commit."""
        git(self.work, "add", "-A")
        git(self.work, "commit", "-q", "-m", message)
        git(self.work, "push", "-q", "origin", "main")
        refresh()
        return git(self.work, "rev-parse", "HEAD")

    def release(self, version: str, message: str) -> str:
        environment = load_environment(self.work / "manifests/envs/dev/environment.yaml")
        release = Release(model=MODEL, stable=version, since=datetime.now(UTC))
        write_release(self.work / release_path("dev", MODEL), release, environment)
        return self.push(message)


def refresh() -> None:
    for kind, mark in (
        ("applicationsets", "argocd.argoproj.io/application-set-refresh=true"),
        ("applications", REFRESH),
    ):
        kubectl("annotate", kind, "-n", "argocd", "--all", "--overwrite", mark, check=False)


def make_fork(folder: Path, images: dict[str, str]) -> Fork:
    fork = Fork(folder / "work", folder / "repo.git")
    for name in git(REPO, "ls-files").splitlines():
        (fork.work / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPO / name, fork.work / name)
    git(folder, "init", "-q", "--bare", "-b", "main", str(fork.bare))
    git(folder, "init", "-q", "-b", "main", str(fork.work))
    git(fork.work, "remote", "add", "origin", str(fork.bare))
    namespace, _, name = os.environ["FAIRLEAD_TEST_GATEWAY"].partition("/")
    url = f"file://{fork.bare}"
    fork.edit(
        "argocd/settings.yaml",
        lambda it: {**it, "repository": url, "environments": ["dev"], "platform": ["argocd-settings"]},
    )
    fork.edit(
        "manifests/envs/dev/environment.yaml",
        lambda it: {**it, "gateway": {**it["gateway"], "name": name, "namespace": namespace}},
    )
    fork.edit("manifests/envs/dev/images.yaml", lambda it: {key: images[key] for key in it})
    fork.render()
    return fork


@dataclass
class Loop:
    """What the tests share: the fork, the way to S3, and what was scored offline."""

    fork: Fork
    commit: str
    s3: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)
    asked: pa.Table | None = None
    """Rows and their offline scores."""

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[what] = time.monotonic() - began
        print(f"{what}: {self.seconds[what]:.1f} s")  # noqa: T201  the figures of the run

    @contextmanager
    def storage(self) -> Iterator[None]:
        with mock.patch.dict(os.environ, self.s3):
            yield


@pytest.fixture(scope="module")
def images(image: Callable[[str], str]) -> dict[str, str]:
    return {name: image(name) for name in ("pipeline", "serving", "monitoring", "stand-ins")}


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory, images: dict[str, str]) -> Iterator[Loop]:
    fork = make_fork(tmp_path_factory.mktemp("fork"), images)
    objects = stand_ins(images, fork.work / "manifests/envs/dev/pipelines")
    kubectl("apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    wait_for_all()
    pod = kubectl("get", "pods", "-n", STORAGE, "-o", "name").strip().removeprefix("pod/")
    with Namespace(STORAGE).forwarded(pod, 8333) as url:
        s3 = {
            **ACCESS,
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        with mock.patch.dict(os.environ, s3):
            boto3.client("s3").create_bucket(Bucket="fairlead-dev")
        commit = fork.push("Our cluster")
        kubectl("apply", "-f", str(fork.work / "argocd/root.yaml"))
        yield Loop(fork, commit, s3)
    clean_up(objects)


def clean_up(objects: list[dict[str, Any]]) -> None:
    kubectl("delete", "application", "fairlead", "-n", "argocd", "--ignore-not-found")
    kubectl("delete", "applicationsets", "-n", "argocd", "--all")
    kubectl("delete", "applications", "-n", "argocd", "--all", "--timeout=120s", check=False)
    kubectl(
        "delete", "appprojects", "-n", "argocd", "-l", "!none", "--field-selector=metadata.name!=default", check=False
    )
    spaces = [item["metadata"]["name"] for item in objects if item["kind"] == "Namespace"]
    kubectl("delete", "namespace", *spaces, "--ignore-not-found", "--timeout=120s")


def ask(rows: pa.Table, host: str = HOST) -> tuple[list[float], str]:
    """Scores by the gateway, and the version that gave them."""
    kinds = {"string": "BYTES", "double": "FP64", "int64": "INT64", "int32": "INT32"}
    inputs = [
        {"name": name, "shape": [len(rows)], "datatype": kinds[str(rows[name].type)], "data": rows[name].to_pylist()}
        for name in COLUMNS
    ]
    url = f"{os.environ['FAIRLEAD_TEST_GATEWAY_URL']}/v2/models/{MODEL}/infer"
    body = {"inputs": inputs, "parameters": {"asked_at": ASKED_AT}}
    answer = httpx.post(url, json=body, headers={"host": host}, timeout=20, trust_env=False)
    assert answer.status_code == 200, f"{answer.status_code}: {answer.text}"
    found = answer.json()
    scores = next(item["data"] for item in found["outputs"] if item["name"] == "score")
    return scores, found["model_version"]


def answers(rows: pa.Table, version: str) -> bool:
    try:
        return ask(rows)[1] == version
    except (httpx.HTTPError, AssertionError):
        return False


@contextmanager
def nobody_is_refused(rows: pa.Table) -> Iterator[list[str]]:
    """Ask all the while; the versions that answered, in their order. A request that fails fails the test."""
    versions: list[str] = []
    problems: list[str] = []
    over = threading.Event()

    def go_on() -> None:
        while not over.is_set():
            try:
                versions.append(ask(rows)[1])
            except (httpx.HTTPError, AssertionError) as error:
                problems.append(f"{type(error).__name__} {error}")
            time.sleep(0.02)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield versions
    finally:
        over.set()
        thread.join()
    assert problems == [], f"{len(problems)} of {len(problems) + len(versions)} requests failed: {problems[0]}"


def run_job(name: str, change: Callable[[dict[str, Any]], None]) -> str:
    """Run the environment's suspended job with a change; what it printed."""
    words = ["create", "job", name, f"--from=cronjob/{MODEL}-train", "--dry-run=client", "-o", "json"]
    job = json.loads(NAMESPACE.kubectl(*words))
    change(job["spec"]["template"]["spec"])
    job["spec"]["backoffLimit"] = 0
    NAMESPACE.apply(job)

    def ended() -> bool:
        found = json.loads(NAMESPACE.kubectl("get", "job", name, "-o", "json"))["status"]
        return bool(found.get("succeeded") or found.get("failed"))

    wait_for(f"job {name}", ended, 900)
    said = NAMESPACE.kubectl("logs", f"job/{name}", check=False)
    assert json.loads(NAMESPACE.kubectl("get", "job", name, "-o", "json"))["status"].get("succeeded"), said
    return said


def test_one_file_brings_up_the_environment_and_its_pipelines(loop: Loop) -> None:
    with loop.timed("apply root.yaml → all Synced and Healthy"):
        for name in ("fairlead", "dev-common", "dev-pipelines"):
            wait_for(f"{name} Synced and Healthy", lambda name=name: is_well(name, loop.commit))
    assert "pipelineversion" in kubectl("get", "pipelineversions", "-n", "kubeflow", "-o", "name")


def test_a_model_is_trained_in_a_pod_and_registered(loop: Loop) -> None:
    spec = yaml.safe_load((REPO / f"pipelines/models/{MODEL}.yaml").read_text(encoding="utf-8"))
    _shrink(spec)
    spec["serving"] = {"features": {"deadline_ms": 5000}}  # the machine of a test is busy
    small = {"metadata": {"name": "small"}, "data": {"model.yaml": yaml.safe_dump(spec, sort_keys=False)}}
    NAMESPACE.apply({"apiVersion": "v1", "kind": "ConfigMap", **small})

    def shrink(pod: dict[str, Any]) -> None:
        container = pod["containers"][0]
        container["command"] += ["--as-of", AS_OF]
        mount = {"name": "small", "mountPath": f"/app/pipelines/models/{MODEL}.yaml", "subPath": "model.yaml"}
        container["volumeMounts"].append(mount)
        pod["volumes"].append({"name": "small", "configMap": {"name": "small"}})

    with loop.timed("train in a pod"):
        said = run_job("first-training", shrink)
    assert f"{MODEL}@1" in said
    with loop.storage():
        files = {item.base_name for item in filesystem().get_file_info(_below(f"fairlead-dev/bundles/{MODEL}/1"))}
    assert {"bundle.json", "model.onnx"} <= files


def _below(path: str) -> Any:
    from pyarrow.fs import FileSelector

    return FileSelector(path)


def test_features_are_published_and_rows_scored_offline_in_a_pod(loop: Loop) -> None:
    import pyarrow.parquet as pq

    rows = f"{BUCKET}/rows.parquet"
    with loop.storage():
        flights = dataset(DeltaTables(f"{BUCKET}/tables").files("flights/clean/flights", 0)).to_table(columns=COLUMNS)
        pq.write_table(flights.slice(0, ROWS), rows.removeprefix("s3://"), filesystem=filesystem())
    keep = " ".join(f"--keep {name}" for name in COLUMNS)
    home = "--home /tmp/home/fairlead"
    steps = [
        f"fairlead promote {MODEL}@1 {home}",
        f"fairlead publish {MODEL}@1 {home}",
        f"fairlead score {MODEL}@1 {rows} --asked-at {ASKED_AT} {keep} {home}",
    ]

    def these(pod: dict[str, Any]) -> None:
        pod["containers"][0]["command"] = ["sh", "-euc", "\n".join(steps)]

    with loop.timed("promote, publish and score in a pod"):
        run_job("publish", these)
    with loop.storage():
        files = DeltaTables(f"{BUCKET}/tables").files(f"flights/predictions/{MODEL}", 0)
        loop.asked = dataset(files).to_table().sort_by("row")
    assert len(loop.asked) == ROWS


def test_a_commit_releases_it_and_the_gateway_answers_what_was_scored_offline(loop: Loop) -> None:
    assert loop.asked is not None
    with loop.timed("first release: commit → answers"):
        commit = loop.fork.release("1", "Release flight-delay 1")
        wait_for("an answer of version 1", lambda: answers(loop.asked, "1"))
    scores, _ = ask(loop.asked)
    np.testing.assert_allclose(scores, loop.asked["score"].to_numpy(), atol=1e-6)
    wait_for("the model Synced and Healthy", lambda: is_well(f"dev-{MODEL}", commit))


def test_another_version_comes_by_a_commit_and_no_request_fails(loop: Loop, tmp_path: Path) -> None:
    assert loop.asked is not None
    with loop.storage():
        bundles = open_bundles(f"{BUCKET}/bundles")
        bundles.release(bundles.folder(MODEL, "1"), MODEL, "2")
    few = loop.asked.slice(0, 5)
    with nobody_is_refused(few) as versions, loop.timed("commit → answers of the new version"):
        commit = loop.fork.release("2", "Release flight-delay 2")
        wait_for("an answer of version 2", lambda: versions[-1:] == ["2"])
    assert versions[0] == "1"
    wait_for("the model Synced and Healthy", lambda: is_well(f"dev-{MODEL}", commit))


def test_what_is_not_for_callers_is_not_reachable_from_outside(loop: Loop) -> None:
    url = os.environ["FAIRLEAD_TEST_GATEWAY_URL"]
    for path in ("/v2/repository/index", "/metrics", "/openapi.json"):
        answer = httpx.get(url + path, headers={"host": HOST}, trust_env=False)
        assert answer.status_code == 404


@pytest.mark.parametrize("kind", ["deployment", "service", "networkpolicy"])
def test_what_is_deleted_by_hand_comes_back(loop: Loop, kind: str) -> None:
    names = {"deployment": f"{MODEL}-stable-predictor", "service": f"{MODEL}-stable", "networkpolicy": "deny-all"}
    before = NAMESPACE.kubectl("get", kind, names[kind], "-o", "jsonpath={.metadata.uid}")
    NAMESPACE.kubectl("delete", kind, names[kind])

    def back() -> bool:
        words = ["get", kind, names[kind], "--ignore-not-found", "-o", "jsonpath={.metadata.uid}"]
        return NAMESPACE.kubectl(*words) not in ("", before)

    with loop.timed(f"a deleted {kind} → back"):
        wait_for(f"the {kind}", back)
    wait_for("answers", lambda: answers(loop.asked.slice(0, 1), "2"))


def test_a_version_that_does_not_exist_is_told_and_the_old_one_serves_on(loop: Loop) -> None:
    assert loop.asked is not None
    few = loop.asked.slice(0, 5)
    with nobody_is_refused(few) as versions:
        loop.fork.release("999", "A mistake")

        def told() -> bool:
            path = "jsonpath={.status.modelStatus.lastFailureInfo.message}"
            return "bundle" in NAMESPACE.kubectl("get", "inferenceservice", f"{MODEL}-stable", "-o", path)

        wait_for("the reason in the service's status", told)
        wait_for("an application that is not healthy", lambda: health() not in ("Healthy", None))
        time.sleep(SEEN_SECONDS)
    assert set(versions) == {"2"}
    git(loop.fork.work, "revert", "--no-edit", "HEAD")
    git(loop.fork.work, "push", "-q", "origin", "main")
    refresh()
    commit = git(loop.fork.work, "rev-parse", "HEAD")
    wait_for("the model Synced and Healthy again", lambda: is_well(f"dev-{MODEL}", commit))


def health() -> str | None:
    found: str | None = status(f"dev-{MODEL}").get("health", {}).get("status")
    return found


def test_a_manifest_that_is_broken_in_git_is_told_and_the_old_one_serves_on(loop: Loop) -> None:
    assert loop.asked is not None
    path = loop.fork.work / release_path("dev", MODEL)
    good = path.read_text(encoding="utf-8")
    path.write_text(good.replace("kind: Release", "kind: Relaese"), encoding="utf-8")
    with nobody_is_refused(loop.asked.slice(0, 5)) as versions:
        loop.fork.push("A typing error")

        def told() -> bool:
            return any("error" in item["type"].lower() for item in status(f"dev-{MODEL}").get("conditions", []))

        wait_for("a condition that says so", told)
        time.sleep(SEEN_SECONDS)
    assert set(versions) == {"2"}
    path.write_text(good, encoding="utf-8")
    commit = loop.fork.push("Mended")
    wait_for("the model Synced and Healthy again", lambda: is_well(f"dev-{MODEL}", commit))
