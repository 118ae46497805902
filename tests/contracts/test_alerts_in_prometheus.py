"""Alerts in a real Prometheus: each fires on a fault, is delivered by a real Alertmanager, and ends with the fault."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fairlead import metrics as m
from tests.alert_rules import alerts, write_fast
from tests.planted_metrics import Planted, emitting, healthy
from tests.prometheus_server import (
    Inbox,
    Prometheus,
    Target,
    alertmanager_server,
    prometheus_server,
    webhook,
)

pytestmark = pytest.mark.prometheus
PATIENCE_SECONDS = 90
LONG_AGO = 200_000
OF_SILENCE = {
    "TargetDown", "ModelServerAbsent", "TrafficStopped", "CollectorAbsent", "DetectorStale", "RolloutControllerStale",
    "RetrainingBrakesStale",
}  # fmt: skip
"""What fires where nothing answers any more."""
ONLY_OF_SILENCE = {"TargetDown", "ModelServerAbsent", "TrafficStopped", "CollectorAbsent"}
"""The others fire also where somebody answers and tells old instants."""


def fault(p: Planted) -> None:
    """All that can go wrong at once, while every process answers."""
    p.rate(m.REQUESTS, 50, status="500")
    p.observe(m.REQUEST_SECONDS, 0.3)
    p.add(m.LOADS, result="refused")
    p.rate(m.FEATURES_UNAVAILABLE, 50)
    p.rate(m.REJECTED, 50, reason="overload")
    p.rate(m.RECORDS, 0, result="delivered")
    p.add(m.RECORDS, result="dropped")
    p.gauge(m.RECORDS_WAITING_BYTES, 60e6)
    p.rate(m.COLLECTOR_COMMIT_ERRORS, 5)
    p.gauge(m.COLLECTOR_LAST_COMMIT, time.time() - LONG_AGO)
    p.gauge(m.MONITOR_UNREADABLE, 1)
    p.gauge(m.MONITOR_LAST_SUCCESS, 0, detector="drift")
    p.remove(m.MONITOR_FAILED, detector="drift")
    p.gauge(m.MONITOR_FAILED, 1, detector="drift", error="EngineMissingError")
    for kind in ("input", "feature", "prediction"):
        for metric in (m.DRIFT_ALARM, m.DRIFT_NOT_ENOUGH_DATA, m.DRIFT_FEATURE):
            p.gauge(metric, 1, kind=kind)
    p.gauge(m.UPSTREAM_ALARM, 1, cause="quality")
    p.gauge(m.LIVE_DECAY, 1)
    p.gauge(m.LIVE_JUDGED, 0)
    p.gauge(m.LOSS_CHANGE, 1, detector="adwin")
    p.gauge(m.LABELS_OVERDUE_RATIO, 0.6)
    p.gauge(m.LABELS_CONFLICTING_ROWS, 900)
    p.gauge(m.ROLLOUT_STAGE, 1, stage="rolled_back")
    p.gauge(m.ROLLOUT_LAST_LOOK, time.time() - LONG_AGO)
    p.gauge(m.ROLLOUT_WAITING, 1, reason="undecided")
    p.gauge(m.ROLLOUT_METRICS_UNAVAILABLE, 1)
    p.gauge(m.ROLLOUT_GIT_UNAVAILABLE, 1)
    p.gauge(m.RETRAINING_BLOCKED, 1, reason="budget")
    p.gauge(m.RETRAINING_FAILURES, 3)
    p.gauge(m.RETRAINING_LAST_RUN, time.time() - LONG_AGO)


def heal(p: Planted) -> None:
    """Everything well again, and the failed run's series gone as the collector lets it go."""
    p.remove(m.MONITOR_FAILED, detector="drift", error="EngineMissingError")
    p.rate(m.RECORDS, 0, result="dropped")
    healthy(p)


@pytest.fixture
def inbox() -> Iterator[tuple[str, Inbox]]:
    with webhook() as found:
        yield found


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        number: int = probe.getsockname()[1]
        return number


@pytest.fixture
def prometheus(tmp_path: Path, inbox: tuple[str, Inbox], port: int) -> Iterator[Prometheus]:
    options = ["--rules.alert.resend-delay=1s"]
    with (
        alertmanager_server(tmp_path, inbox[0]) as alertmanager,
        prometheus_server(
            tmp_path,
            [Target(f"127.0.0.1:{port}")],
            rules=write_fast(tmp_path),
            alertmanager=alertmanager,
            scrape_seconds=0.5,
            options=options,
        ) as server,
    ):
        yield server


def wait_until(holds: Callable[[], bool], otherwise: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, otherwise()
        time.sleep(0.2)


def test_each_alert_fires_on_its_fault_reaches_a_webhook_and_ends_with_the_fault(inbox, prometheus, port):
    told, planted = inbox[1], Planted()
    faults = set(alerts()) - ONLY_OF_SILENCE

    def firing() -> set[str]:
        return set(told.now("firing"))

    wait_until(lambda: firing() >= OF_SILENCE, lambda: OF_SILENCE - firing())
    assert firing() == OF_SILENCE, "nothing else can be known of what does not answer"
    healthy(planted)
    with emitting(planted, port):
        wait_until(lambda: not firing(), firing)
        prometheus.wait_for("fairlead:requests_slow:ratio_rate30m")
        assert prometheus.values('ALERTS{alertstate="firing"}') == []
        fault(planted)
        wait_until(lambda: firing() >= faults, lambda: faults - firing())
        heal(planted)
        wait_until(lambda: not firing(), firing)
    assert {alert["labels"]["alertname"] for alert in told.alerts} == set(alerts())
    for alert in told.alerts:
        text = " ".join(alert["annotations"].values())
        assert "<no value>" not in text, text
        assert "<error expanding" not in text, text
        assert alert["annotations"]["runbook_url"].startswith("https://example.com/runbooks/")
