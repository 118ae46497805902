"""A server of several processes: one port, the same models in all of them, counts added up, and no end by a kill."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.local.test_serving import REPO, write

READY = re.compile(r"^serving (.*) on (http://\S+)$", re.MULTILINE)
INSTANCE = {"carrier": "UA", "distance": 2.0, "tailnum": "N1"}


@dataclass
class Running:
    """A server with workers."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Over a connection of its own, so that any worker may answer."""
        return httpx.request(method, self.url + path, trust_env=False, timeout=30, **request)

    def predict(self) -> httpx.Response:
        return self.call("POST", "/v1/models/flight-delay:predict", json={"instances": [INSTANCE]})


def wait_for(what: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)
    return found


@contextmanager
def serving(log: Path, *words: str, environ: Mapping[str, str] | None = None) -> Iterator[Running]:
    command = [sys.executable, "-m", "serving", "--http-port", "0", "--grpc-port", "0", "--feature-store", "none"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *words], stderr=output, stdout=output, cwd=REPO, env={**os.environ, **(environ or {})}
        )
    try:
        found = wait_for(lambda: process.poll() is not None or READY.search(log.read_text()))
        assert not isinstance(found, bool), log.read_text()
        yield Running(process, found[2], log)
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write(root / "flight-delay" / "3")
    return root


@pytest.fixture(scope="module")
def running(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("log") / "server.log"
    with serving(log, "--bundle", str(models), "--workers", "2", "--versions", "all") as server:
        yield server
    assert server.process.returncode == 0


def requests_total(text: str) -> float:
    lines = [
        line for line in text.splitlines() if line.startswith("fairlead_requests_total") and 'status="200"' in line
    ]
    return sum(float(line.split()[-1]) for line in lines)


def test_the_counts_of_all_workers_are_told_by_each(running: Running) -> None:
    before = requests_total(running.call("GET", "/metrics").text)
    for _ in range(20):
        assert running.predict().status_code == 200
    time.sleep(2.5)  # a worker knows the others' counts of a second ago
    told = {requests_total(running.call("GET", "/metrics").text) - before for _ in range(6)}
    assert told == {20}


def test_a_new_version_is_loaded_into_all_workers_and_the_older_one_stays_at_its_path(
    running: Running, models: Path
) -> None:
    write(models / "flight-delay" / "4", version="4")
    assert running.call("POST", "/v2/repository/models/flight-delay/load").status_code == 200
    versions = {str(running.call("GET", "/v2/models/flight-delay").json()["versions"]) for _ in range(8)}
    assert versions == {"['4']"}
    for version in ("3", "4"):
        path = f"/v2/models/flight-delay/versions/{version}"
        assert running.call("GET", path).json()["versions"] == [version]
        assert running.call("GET", f"{path}/ready").json()["ready"]
    assert running.call("GET", "/v2/models/flight-delay/versions/5/ready").status_code == 404


def test_a_corrupt_bundle_is_refused_with_the_reason_and_what_served_keeps_serving(
    running: Running, models: Path
) -> None:
    write(models / "flight-delay" / "9", version="9", files={"model.onnx": "0" * 64})
    answer = running.call("POST", "/v2/repository/models/flight-delay/load")
    shutil.rmtree(models / "flight-delay" / "9")
    assert answer.status_code == 400
    assert "SHA-256 must be 0000" in answer.json()["error"]
    assert "keeps serving" in answer.json()["error"]
    assert running.predict().status_code == 200


def test_a_model_that_is_unloaded_is_gone_from_all_workers_until_it_is_loaded(running: Running) -> None:
    assert running.call("POST", "/v2/repository/models/flight-delay/unload").status_code == 200
    assert {running.predict().status_code for _ in range(8)} == {404}
    assert running.call("POST", "/v2/repository/models/flight-delay/unload").status_code == 404
    assert running.call("GET", "/v2/health/ready").status_code == 503, "there is nothing that could answer"
    assert running.call("POST", "/v2/repository/models/flight-delay/load").status_code == 200
    assert {running.predict().status_code for _ in range(8)} == {200}


def test_a_killed_worker_is_replaced_by_one_that_knows_what_was_loaded_and_nobody_else_notices(
    running: Running,
) -> None:
    assert running.call("POST", "/v2/repository/models/flight-delay-vector/unload").status_code == 200
    assert running.call("POST", "/v2/repository/models/flight-delay/load").status_code == 200
    old = running.workers()
    ended, failures, answered = threading.Event(), [], [0]

    def ask() -> None:
        while not ended.is_set():
            try:
                answered[0] += running.predict().status_code == 200
            except httpx.TransportError as error:
                failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    os.kill(old[0].pid, signal.SIGKILL)
    wait_for(lambda: len([item for item in running.workers() if item not in old]) == 1)
    wait_for(lambda: "starting another" in running.log.read_text())
    time.sleep(1)
    ended.set()
    asking.join()
    assert len(failures) <= 1, "only what the killed one had at hand"
    assert answered[0] > 0
    statuses = {wait_for(lambda: running.predict()).status_code for _ in range(8)}
    assert statuses == {200}


def test_a_worker_that_cannot_start_ends_the_server_with_its_reason(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "serving", "--workers", "2", "--http-port", "0", "--grpc-port", "0"]
    done = subprocess.run(
        [*command, "--bundle", str(tmp_path / "none")],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "must be a folder with bundles, but there is none" in done.stderr


def test_workers_do_not_outlive_a_killed_supervisor(models: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--bundle", str(models), "--workers", "2") as server:
        workers = server.workers()
        server.process.kill()
        psutil.wait_procs(workers, timeout=30)
        assert not [worker for worker in workers if worker.is_running()]


def test_a_reload_under_load_drops_no_request(running: Running) -> None:
    statuses, ended = [], threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=running.url, trust_env=False) as client:
            body = json.dumps({"instances": [INSTANCE]})
            while not ended.is_set():
                answer = client.post(
                    "/v1/models/flight-delay:predict", content=body, headers={"content-type": "application/json"}
                )
                statuses.append(answer.status_code)

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    for _ in range(10):
        assert running.call("POST", "/v2/repository/models/flight-delay/load").status_code == 200
    ended.set()
    for thread in asking:
        thread.join()
    assert set(statuses) == {200}
