"""Releases on a cluster: commits move traffic, figures of Prometheus decide, and a bad version goes back by a commit.

Needs what test_whole_loop.py needs. Prometheus is a pod of Debian's package, the controller a process of this machine.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import boto3
import httpx
import pytest

from fairlead.adapters.bundles import open_bundles
from fairlead.adapters.git import GitBranch
from fairlead.adapters.prometheus import PrometheusCounters
from fairlead.rollout.control import Controller
from fairlead.rollout.release import Release
from fairlead.rollout.stages import Start
from tests.cluster.conftest import Namespace
from tests.cluster.loop import BUCKET, DOMAIN, MODEL, NAMESPACE, Fork, refresh, running, wait_for
from tests.cluster.programs import kubectl
from tests.cluster.stand_ins import MONITORING, prometheus_stand_in
from tests.unit.serving_example import BARE, erring_graph, write

pytestmark = pytest.mark.cluster

UNKNOWN_CARRIER = 7.0
"""The bad versions fail on it."""
REFERENCE_SECONDS = 50
STOPPED = "jsonpath={.metadata.annotations.serving\\.kserve\\.io/stop}"
ROLLOUT = {
    "shadow_minutes": 0.5, "steps": [25, 50], "window_seconds": 2, "warm_up_seconds": 4, "min_minutes": 0.25,
    "min_requests": 200, "errors": {"margin": 2.0, "floor": 0.005}, "latency": None, "deadline_minutes": 20,
}  # fmt: skip


@dataclass
class Traffic:
    """Callers of the gateway: status and version of each answer."""

    answers: list[tuple[int, str]] = field(default_factory=list)
    unknown_carriers: bool = True
    """Whether one request in ten asks about one."""
    failed_at: float = 0.0
    """When an answer was last none of 200, by the monotonic clock."""
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        url = f"{os.environ['FAIRLEAD_TEST_GATEWAY_URL']}/v2/models/{MODEL}-vector/infer"
        with httpx.Client(headers={"host": f"{MODEL}.{DOMAIN}"}, timeout=10, trust_env=False) as client:
            while not self.stop.is_set():
                unknown = self.unknown_carriers and len(self.answers) % 10 == 0
                carrier = UNKNOWN_CARRIER if unknown else 1.0
                tensor = {"name": "features", "shape": [1, 4], "datatype": "FP32", "data": [carrier, 1.0, 1.0, 0.5]}
                try:
                    answer = client.post(url, json={"inputs": [tensor]})
                    self.answers.append((answer.status_code, _version(answer)))
                except httpx.HTTPError:
                    self.answers.append((0, ""))
                if self.answers[-1][0] != 200:
                    self.failed_at = time.monotonic()
                time.sleep(0.01)

    def since(self, number: int) -> Counter[tuple[int, str]]:
        return Counter(self.answers[number:])


def _version(answer: httpx.Response) -> str:
    return str(answer.json().get("model_version", "")) if answer.is_success else ""


@dataclass
class Rig:
    fork: Fork
    controller: Controller
    traffic: Traffic

    @property
    def release(self) -> Release:
        return self.controller.place(MODEL).release

    def start(self, version: str) -> None:
        place = self.controller.place(MODEL)
        event = Start(at=datetime.now(UTC), revision=place.release.revision, version=version, run="example")
        self.controller.apply(place, event)
        refresh()

    def log(self) -> list[str]:
        words = ["git", "-C", str(self.fork.bare), "log", "--format=%s", "main"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, images: dict[str, str]) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("rollout")
    with ExitStack() as stack:
        loop = stack.enter_context(running(folder, images))
        objects = prometheus_stand_in(images["stand-ins"], "fairlead-dev", MODEL)
        stack.callback(kubectl, "delete", "namespace", MONITORING, "--ignore-not-found", "--timeout=120s")
        kubectl("apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        kubectl("rollout", "status", "deployment/prometheus", "-n", MONITORING, "--timeout=300s")
        with loop.storage():
            _put_bundles(folder)
        fork = loop.fork
        fork.edit(f"pipelines/models/{MODEL}.yaml", lambda it: {**it, "rollout": ROLLOUT})
        fork.render()
        fork.release("1", "Release the first version")
        wait_for("an answer", _answers_well)
        traffic = Traffic()
        stack.callback(traffic.stop.set)
        threading.Thread(target=traffic.run, daemon=True).start()
        prometheus = stack.enter_context(Namespace(MONITORING).forwarded(_pod(MONITORING, "prometheus"), 9090))
        time.sleep(REFERENCE_SECONDS)
        stack.enter_context(_watching(fork, prometheus, folder))
        branch = GitBranch(str(fork.bare), "main", folder / "clone.git")
        counters = PrometheusCounters(prometheus, 'namespace="fairlead-dev"')
        controller = Controller(branch, "main", "dev", counters, gated=lambda model: set())
        yield Rig(fork, controller, traffic)


def _watching(fork: Fork, prometheus: str, folder: Path) -> ExitStack:
    """The command itself, as the pod of the environment runs it; it must end with 0 when it is told to leave."""
    command = [str(Path(sys.executable).with_name("fairlead")), "rollout", "watch", "--home", str(folder / "home")]
    command += [
        "--repository",
        str(fork.bare),
        "--environment",
        "dev",
        "--prometheus",
        prometheus,
        "--metrics-port",
        "0",
    ]
    environ = {**os.environ, "FAIRLEAD_REPO": str(fork.work)}
    log = (folder / "watch.log").open("wb")
    process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    stop, told = ExitStack(), threading.Event()

    def tell_argocd() -> None:  # as a webhook would, whatever the newest commit is
        while not told.wait(2):
            refresh()

    threading.Thread(target=tell_argocd, daemon=True).start()

    def leave() -> None:
        told.set()
        process.terminate()
        code = process.wait(60)
        log.close()
        assert code == 0, (folder / "watch.log").read_text()

    stop.callback(leave)
    return stop


def _put_bundles(folder: Path) -> None:
    """1 and 3 are sound, 2 and 5 fail on a carrier, 4 is none that a server can open."""
    bundles = open_bundles(f"{BUCKET}/bundles")
    for version, graph in (("1", None), ("2", erring_graph()), ("3", None), ("5", erring_graph())):
        bundles.release(write(folder / version, graph, signature=BARE, version=None), MODEL, version)
    boto3.client("s3").put_object(Bucket="fairlead-dev", Key=f"bundles/{MODEL}/4/bundle.json", Body=b"{}")


def _pod(namespace: str, app: str) -> str:
    return kubectl("get", "pods", "-n", namespace, "-l", f"app={app}", "-o", "name").split()[0].removeprefix("pod/")


def _answers_well() -> bool:
    url = f"{os.environ['FAIRLEAD_TEST_GATEWAY_URL']}/v2/models/{MODEL}"
    try:
        return httpx.get(url, headers={"host": f"{MODEL}.{DOMAIN}"}, timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_an_idle_candidate_is_stopped(rig: Rig) -> None:
    assert NAMESPACE.kubectl("get", "inferenceservice", f"{MODEL}-candidate", "-o", STOPPED) == "true"
    pods = NAMESPACE.kubectl(
        "get", "pods", "-l", f"fairlead.dev/model={MODEL},fairlead.dev/arm=candidate", "-o", "name"
    )
    assert pods == ""


def test_a_bad_candidate_is_rolled_back_by_a_commit_and_its_server_goes(rig: Rig) -> None:
    first = len(rig.traffic.answers)
    rig.start("2")
    wait_for("a rollback", lambda: rig.release.stage == "rolled_back")
    assert rig.release.refused == ["2"]
    assert "roll version 2 back" in rig.log()[0]
    wait_for(
        "no candidate",
        lambda: NAMESPACE.kubectl("get", "inferenceservice", f"{MODEL}-candidate", "-o", STOPPED) == "true",
    )
    # It had copies only: no caller has seen it.
    assert {version for _, version in rig.traffic.since(first)} <= {"1"}
    assert {status for status, _ in rig.traffic.since(first)} == {200}


def test_a_good_candidate_gets_its_share_and_becomes_stable_while_no_request_fails(rig: Rig) -> None:
    first = len(rig.traffic.answers)
    rig.start("3")
    wait_for("some answers of it", lambda: rig.traffic.since(first)[200, "3"] > 10, 400)
    wait_for("the promotion, settled", lambda: (rig.release.stage, rig.release.stable) == ("idle", "3"), 600)
    wait_for("answers of it alone", lambda: {version for _, version in rig.traffic.answers[-50:]} == {"3"})
    assert {status for status, _ in rig.traffic.since(first)} == {200}
    wait_for(
        "no candidate",
        lambda: NAMESPACE.kubectl("get", "inferenceservice", f"{MODEL}-candidate", "-o", STOPPED) == "true",
    )


def test_a_candidate_that_turns_bad_before_callers_is_rolled_back_and_its_traffic_returns(rig: Rig) -> None:
    rig.traffic.unknown_carriers = False  # nothing in the shadow tells of what comes
    first = len(rig.traffic.answers)
    rig.start("5")
    wait_for("some answers of it", lambda: rig.traffic.since(first)[200, "5"] > 10, 400)
    assert {status for status, _ in rig.traffic.since(first)} == {200}
    began = time.monotonic()
    rig.traffic.unknown_carriers = True
    wait_for("a rollback", lambda: rig.release.stage == "rolled_back")
    decided = time.monotonic()
    wait_for("the whole traffic", lambda: set(rig.traffic.answers[-200:]) == {(200, "3")})
    synced = rig.traffic.failed_at
    print(f"harm → commit of the rollback: {decided - began:.1f} s")  # noqa: T201  the figures of the run
    print(f"commit → last failed request: {max(0.0, synced - decided):.1f} s")  # noqa: T201
    assert rig.release.refused[-1] == "5"
    assert "roll version 5 back" in rig.log()[0]


def test_a_candidate_whose_pods_never_get_ready_gets_no_traffic(rig: Rig) -> None:
    first = len(rig.traffic.answers)
    rig.start("4")
    time.sleep(90)
    assert rig.release.stage == "shadow"
    assert {version for _, version in rig.traffic.since(first)} == {"3"}
    assert {status for status, _ in rig.traffic.since(first)} == {200}
