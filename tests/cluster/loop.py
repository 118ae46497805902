"""The whole loop on a cluster, for tests that share it: a fork, its remote, what a cluster brings, requests."""

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
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import httpx
import pyarrow as pa
from ruamel.yaml import YAML

from fairlead.rollout.file import release_path, write_release
from fairlead.rollout.release import Release
from fairlead.spec.load import load_environment
from tests.cluster.conftest import Namespace
from tests.cluster.programs import kubectl
from tests.cluster.stand_ins import ACCESS, STORAGE, stand_ins, wait_for_all
from tests.local.conftest import AS_OF, _shrink

REPO = Path(__file__).parents[2]
NAMESPACE = Namespace("fairlead-dev")
MODEL, DOMAIN = "flight-delay", "dev.models.example.com"
BUCKET = "s3://fairlead-dev"
COLUMNS = ["carrier", "origin", "dest", "distance", "hour", "weekday", "tailnum"]
COPY = "1-copy"
"""A version that is the first one once more: a name that the registry gives to none."""
ASKED_AT = f"{AS_OF}T06:00:00+00:00"
REFRESH = "argocd.argoproj.io/refresh=normal"


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
        yaml = YAML(typ="safe")  # 1.2, as the platform reads it: `on` is a word
        content = change(yaml.load(file.read_text(encoding="utf-8")))
        with file.open("w", encoding="utf-8") as stream:
            yaml.dump(content, stream)

    def push(self, message: str) -> str:
        """Commit and push, and tell Argo CD as a webhook would; returns the commit."""
        git(self.work, "add", "-A")
        git(self.work, "commit", "-q", "-m", message)
        git(self.work, "push", "-q", "origin", "main")
        refresh()
        return git(self.work, "rev-parse", "HEAD")

    def release(self, version: str, message: str, model: str = MODEL, push: bool = True) -> str:
        """Make a version stable, and push that; without `push` it goes with the next one."""
        environment = load_environment(self.work / "manifests/envs/dev/environment.yaml")
        release = Release(model=model, stable=version, since=datetime.now(UTC))
        write_release(self.work / release_path("dev", model), release, environment)
        return self.push(message) if push else ""


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
        # Nothing watches releases here: what a test writes is not to be judged.
        lambda it: {**it, "releases": None, "gateway": {**it["gateway"], "name": name, "namespace": namespace}},
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


@contextmanager
def running(folder: Path, images: dict[str, str]) -> Iterator[Loop]:
    """The root application of a fork on the cluster; everything goes in the end."""
    fork = make_fork(folder, images)
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


def ask(rows: pa.Table, model: str = MODEL) -> tuple[list[float], str]:
    """Scores by the gateway, and the version that gave them."""
    kinds = {"string": "BYTES", "double": "FP64", "int64": "INT64", "int32": "INT32"}
    inputs = [
        {"name": name, "shape": [len(rows)], "datatype": kinds[str(rows[name].type)], "data": rows[name].to_pylist()}
        for name in COLUMNS
    ]
    url = f"{os.environ['FAIRLEAD_TEST_GATEWAY_URL']}/v2/models/{model}/infer"
    body = {"inputs": inputs, "parameters": {"asked_at": ASKED_AT}}
    answer = httpx.post(url, json=body, headers={"host": f"{model}.{DOMAIN}"}, timeout=20, trust_env=False)
    assert answer.status_code == 200, f"{answer.status_code}: {answer.text}"
    found = answer.json()
    scores = next(item["data"] for item in found["outputs"] if item["name"] == "score")
    return scores, found["model_version"]


def answers(rows: pa.Table, version: str, model: str = MODEL) -> bool:
    try:
        return ask(rows, model)[1] == version
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


def small_model(name: str = "small", change: Callable[[Any], Any] = lambda spec: None) -> dict[str, Any]:
    """A ConfigMap with a model that is quickly trained."""
    spec = YAML().load((REPO / f"pipelines/models/{MODEL}.yaml").read_text(encoding="utf-8"))
    _shrink(spec)
    spec["serving"] = {"features": {"deadline_ms": 5000}}  # the machine of a test is busy
    change(spec)
    text = StringIO()
    YAML().dump(spec, text)
    data = {"model.yaml": text.getvalue()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def volume_of(config: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The volume and the mount that put a `small_model` in the place of the image's."""
    mount = {"name": config, "mountPath": f"/app/pipelines/models/{MODEL}.yaml", "subPath": "model.yaml"}
    return {"name": config, "configMap": {"name": config}}, mount


def mounted(config: str, *words: str) -> Callable[[dict[str, Any]], None]:
    """The change to a job's pod that gives it a `small_model` and more words to its command."""

    def change(pod: dict[str, Any]) -> None:
        volume, mount = volume_of(config)
        pod["containers"][0]["command"] += words
        pod["containers"][0]["volumeMounts"].append(mount)
        pod["volumes"].append(volume)

    return change


def run_job(name: str, change: Callable[[dict[str, Any]], None] = lambda pod: None, what: str = "train") -> str:
    """Run one of the environment's jobs with a change; what it printed."""
    words = ["create", "job", name, f"--from=cronjob/{MODEL}-{what}", "--dry-run=client", "-o", "json"]
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
