"""Alertmanager's webhook: what asks, what is the same again, what is taken back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from fairlead.adapters.retraining_log import MemoryLog
from fairlead.errors import RetrainingError
from fairlead.retraining.brakes import read_state
from fairlead.retraining.entries import Asked, Entry
from monitoring.trigger.app import Trigger

NOW = datetime(2013, 4, 1, tzinfo=UTC)
LABELS = {"alertname": "ModelDecay", "model": "flight-delay", "retraining": "decay", "severity": "warning"}


def alert(status: str = "firing", begins: str = "2013-04-01T00:00:00.123456789Z", **changes: Any) -> dict[str, Any]:
    return {
        "status": status,
        "labels": LABELS,
        "annotations": {"summary": "ROC AUC 0.65, promised 0.70"},
        "startsAt": begins,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "c1f7b2d9e0a34a51",
        **changes,
    }


def body(*alerts: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": "4",
        "groupKey": '{}:{alertname="ModelDecay"}',
        "status": "firing",
        "receiver": "retraining",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "truncatedAlerts": 0,
        "alerts": list(alerts),
    }


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def client(log: MemoryLog) -> TestClient:
    return TestClient(Starlette(routes=list(Trigger(log, lambda: NOW).routes())))


def test_a_firing_alert_asks_once_however_often_it_is_repeated(client: TestClient, log: MemoryLog) -> None:
    assert client.post("/alertmanager", json=body(alert())).json() == {"asked": 1}
    for _ in range(6 * 24):  # every ten minutes for a day
        assert client.post("/alertmanager", json=body(alert())).json() == {"repeated": 1}
    entries = log.read("flight-delay")
    assert len(entries) == 1
    asked = entries[0]
    assert isinstance(asked, Asked)
    assert (asked.trigger, asked.by, asked.standing, asked.at) == ("decay", "ModelDecay", True, NOW)
    assert asked.why == "ROC AUC 0.65, promised 0.70"


def test_the_same_alert_that_begins_anew_asks_anew(client: TestClient, log: MemoryLog) -> None:
    client.post("/alertmanager", json=body(alert()))
    again = alert(begins=(NOW + timedelta(days=3)).isoformat())
    assert client.post("/alertmanager", json=body(again)).json() == {"asked": 1}
    assert len(log.read("flight-delay")) == 2


def test_a_resolved_alert_takes_its_request_back(client: TestClient, log: MemoryLog) -> None:
    client.post("/alertmanager", json=body(alert()))
    assert client.post("/alertmanager", json=body(alert("resolved"))).json() == {"withdrawn": 1}
    assert client.post("/alertmanager", json=body(alert("resolved"))).json() == {"repeated": 1}
    assert read_state(log.read("flight-delay")).open == ()


@pytest.mark.parametrize(
    "labels",
    [
        {"alertname": "Latency", "model": "flight-delay"},
        {**LABELS, "retraining": "person"},
        {**LABELS, "retraining": "whim"},
        {**LABELS, "model": "../../etc/passwd"},
        {key: value for key, value in LABELS.items() if key != "model"},
    ],
)
def test_an_alert_that_asks_for_no_retraining_of_a_model_is_ignored(
    client: TestClient, log: MemoryLog, labels: dict[str, str]
) -> None:
    assert client.post("/alertmanager", json=body(alert(labels=labels))).json() == {"ignored": 1}
    assert log.read("flight-delay") == []


@pytest.mark.parametrize(
    ("sent", "place"),
    [(b"no JSON", "body"), (b"{}", "version"), (b'{"version":"4","alerts":[{"status":"firing"}]}', "alerts.0.labels")],
)
def test_what_is_no_notification_is_refused_with_the_place(client: TestClient, sent: bytes, place: str) -> None:
    answer = client.post("/alertmanager", content=sent)
    assert answer.status_code == 400
    assert place in answer.json()["error"]


def test_a_log_that_cannot_be_written_is_a_503_and_alertmanager_sends_again() -> None:
    class Full(MemoryLog):
        def append(self, model: str, entry: Entry, after: int) -> bool:
            raise RetrainingError("the disk is full")

    client = TestClient(Starlette(routes=list(Trigger(Full()).routes())))
    assert client.post("/alertmanager", json=body(alert())).status_code == 503
