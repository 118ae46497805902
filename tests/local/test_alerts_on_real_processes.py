"""Alerts on what really runs: a server and a collector that Prometheus scrapes, hurt as they are hurt in service."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from fairlead import metrics as m
from fairlead.adapters.result_files import ResultFiles
from fairlead.errors import HomeError
from fairlead.monitors.results import Figures, failed, succeeded
from tests.alert_rules import write_fast
from tests.local.test_collector import Collectors
from tests.local.test_serving import write
from tests.local.test_workers import Running, serving
from tests.prometheus_server import Inbox, Target, alertmanager_server, prometheus_server, webhook

pytestmark = pytest.mark.prometheus
MODEL = "flight-delay"
PATIENCE_SECONDS = 60


@contextmanager
def told(folder: Path, target: str) -> Iterator[Inbox]:
    """What a webhook hears of a target, by a real Prometheus and a real Alertmanager."""
    folder.mkdir()
    with ExitStack() as stack:
        url, inbox = stack.enter_context(webhook())
        alertmanager = stack.enter_context(alertmanager_server(folder, url))
        options = ["--rules.alert.resend-delay=1s"]
        stack.enter_context(
            prometheus_server(
                folder, [Target(target)], rules=write_fast(folder), alertmanager=alertmanager, scrape_seconds=0.5,
                options=options,
            )
        )  # fmt: skip
        yield inbox


def wait_for(inbox: Inbox, *names: str, status: str = "firing") -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not set(names) <= set(inbox.now(status)):
        assert time.monotonic() < end, (
            f"{set(names) - set(inbox.now(status))} not {status}; firing: {inbox.now('firing')}"
        )
        time.sleep(0.1)


def kill(collectors: Collectors) -> None:
    """Without a word; what it has logged is not looked at."""
    assert collectors.process is not None
    collectors.process.kill()
    collectors.process.communicate()
    collectors.process = None


def address(server: Running) -> str:
    return server.url.removeprefix("http://")


def test_a_server_that_refuses_a_bundle_and_is_killed_is_told_and_its_return_too(tmp_path: Path) -> None:
    models = tmp_path / "models"
    write(models / MODEL / "3")
    words = ["--bundle", str(models)]
    with ExitStack() as stack:
        with serving(tmp_path / "log", *words) as server:
            inbox = stack.enter_context(told(tmp_path / "watch", address(server)))
            wait_for(inbox, "TrafficStopped")
            assert server.predict().status_code == 200
            write(models / MODEL / "9", version="9", files={"model.onnx": "0" * 64})
            assert server.call("POST", f"/v2/repository/models/{MODEL}/load").status_code == 400
            wait_for(inbox, "ModelLoadRefused")
            for _ in range(20):
                server.predict()
                time.sleep(0.1)
            wait_for(inbox, "TrafficStopped", status="resolved")
            assert "ModelServerAbsent" not in inbox.now("firing")
            server.process.kill()
            wait_for(inbox, "ModelServerAbsent", "TargetDown")
        port = server.url.rpartition(":")[2]
        (models / MODEL / "9" / "model.onnx").unlink()
        (models / MODEL / "9" / "bundle.json").unlink()
        (models / MODEL / "9").rmdir()
        with serving(tmp_path / "log", *words, "--http-port", port):
            wait_for(inbox, "ModelServerAbsent", "TargetDown", "ModelLoadRefused", status="resolved")


def test_a_job_that_fails_a_result_that_is_damaged_and_a_collector_that_is_killed_are_told(tmp_path: Path) -> None:
    collectors = Collectors(tmp_path)
    results = ResultFiles(str(collectors.tables))
    figures = Figures(model=MODEL, version="3")
    figures.set(m.DRIFT_ALARM, 0, kind="input")
    for detector in ("drift", "performance"):
        results.write(succeeded(MODEL, detector, figures))
    collectors.start()
    with told(tmp_path / "watch", collectors.url.removeprefix("http://")) as inbox:
        wait_for(inbox, "RetrainingBrakesStale")
        assert not {"DetectorFails", "InputDrift", "MonitorResultsUnreadable"} & inbox.now("firing").keys()
        results.write(failed(MODEL, "drift", HomeError("no"), results.read(MODEL, "drift")))
        wait_for(inbox, "DetectorFails")
        assert inbox.now("firing")["DetectorFails"]["labels"]["error"] == "HomeError"
        [path] = collectors.tables.rglob("drift.json")
        path.write_text("{")
        wait_for(inbox, "MonitorResultsUnreadable", "DetectorStale")
        drifted = Figures(model=MODEL, version="3")
        drifted.set(m.DRIFT_ALARM, 1, kind="input")
        results.write(succeeded(MODEL, "drift", drifted))
        wait_for(inbox, "InputDrift")
        wait_for(inbox, "MonitorResultsUnreadable", "DetectorStale", "DetectorFails", status="resolved")
        kill(collectors)
        wait_for(inbox, "CollectorAbsent", "DetectorStale", "TargetDown")
        collectors.start()
        wait_for(inbox, "CollectorAbsent", "DetectorStale", "TargetDown", status="resolved")
    kill(collectors)
