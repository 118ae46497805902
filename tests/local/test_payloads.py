"""KServe's payload logger and the collector: halves that arrive in any order become one record each."""

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from fairlead.adapters.delta_records import DeltaRecords
from tests.local.test_collector import Collectors, wait_until

COLUMNS = {"origin": ["JFK", "LGA"], "distance": [100, 200]}
V2_REQUEST = {
    "inputs": [
        {"name": "origin", "shape": [2], "datatype": "BYTES", "data": COLUMNS["origin"]},
        {"name": "distance", "shape": [2], "datatype": "INT64", "data": COLUMNS["distance"]},
    ]
}
V2_ANSWER = {
    "model_name": "flight-delay",
    "model_version": "7",
    "outputs": [
        {"name": "score", "shape": [2], "datatype": "FP32", "data": [0.25, 0.75]},
        {"name": "decision", "shape": [2], "datatype": "BOOL", "data": [False, True]},
    ],
}


def logged(
    side: str, identifier: str, body: Any, service: str = "flight-delay-stable", **more: str
) -> tuple[bytes, dict[str, str]]:
    """What the agent beside a model posts: binary mode, the body as it was, the type of the request for both."""
    headers = {
        "Content-Type": "application/json",
        "Ce-Specversion": "1.0",
        "Ce-Type": f"org.kubeflow.serving.inference.{side}",
        "Ce-Id": identifier,
        "Ce-Source": "http://localhost:9081/",
        "Ce-Time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "Ce-Inferenceservicename": service,
        "Ce-Namespace": "fairlead-dev",
        "Ce-Component": "predictor",
        "Ce-Endpoint": "",
        "Ce-Metadata": "{}",
        **more,
    }
    return json.dumps(body).encode(), headers


@pytest.fixture
def collectors(tmp_path: Path) -> Iterator[Collectors]:
    made = Collectors(tmp_path)
    yield made
    if made.process is not None:
        made.end(signal.SIGKILL)


def start(collectors: Collectors, folder: Path, *options: str) -> None:
    collectors.start("--spool-folder", str(folder / "spool"), "--payload-columns", "flight-delay=*", *options)


def rows(collectors: Collectors, model: str = "flight-delay") -> list[dict[str, Any]]:
    found = DeltaRecords(str(collectors.tables)).read(model, date(2000, 1, 1), date(2100, 1, 1))
    return sorted(found.to_pylist(), key=lambda row: (row["request_id"], row["row"]))


def value(collectors: Collectors, name: str) -> float:
    lines = httpx.get(f"{collectors.url}/metrics").text.splitlines()
    return float(next((line.split()[-1] for line in lines if line.startswith(f"{name} ")), "nan"))


def test_a_request_and_its_answer_become_records_whichever_comes_first(collectors: Collectors, tmp_path: Path):
    start(collectors, tmp_path)
    request, answer = logged("request", "a", V2_REQUEST), logged("response", "a", V2_ANSWER)
    for content, headers in (answer, request):
        assert collectors.post(content, headers).status_code == 202
    for content, headers in (logged("request", "b", V2_REQUEST), logged("response", "b", V2_ANSWER)):
        assert collectors.post(content, headers).status_code == 202
    wait_until(lambda: len(rows(collectors)) == 4)
    first, second, *_ = rows(collectors)
    assert (first["version"], first["score"], second["score"]) == ("7", 0.25, 0.75)
    assert (first["decision"], second["decision"], first["latency_ms"]) == (False, True, None)
    assert json.loads(second["columns"]) == {"origin": "LGA", "distance": 200}
    assert first["request_id"] == "a"
    assert value(collectors, 'fairlead_collector_payloads_total{result="paired"}') == 4


def test_v1_and_vectors_are_understood_and_the_version_comes_with_an_annotation(collectors: Collectors, tmp_path: Path):
    start(collectors, tmp_path)
    annotations = {"Ce-Annotations": '{"fairlead.dev/version": "9"}'}
    instances = [{"origin": "JFK"}, {"origin": "EWR"}]
    vector = {"inputs": [{"name": "features", "shape": [1, 2], "datatype": "FP32", "data": [1.5, None]}]}
    probabilities = {"name": "probabilities", "shape": [1, 2], "datatype": "FP32", "data": [0.75, 0.25]}
    answered = {"predictions": [{"score": 0.5, "decision": True}, {"score": 0.125, "decision": False}]}
    for content, headers in (
        logged("request", "a", {"instances": instances}, **annotations),
        logged("response", "a", answered, **annotations),
        logged("request", "b", vector, **annotations),
        logged("response", "b", {"model_name": "flight-delay-vector", "outputs": [probabilities]}, **annotations),
    ):
        assert collectors.post(content, headers).status_code == 202
    wait_until(lambda: len(rows(collectors)) == 3)
    first, second, third = rows(collectors)
    assert [row["version"] for row in (first, second, third)] == ["9", "9", "9"]
    assert (json.loads(second["columns"]), second["score"]) == ({"origin": "EWR"}, 0.125)
    assert (third["score"], third["decision"], third["features"][0]) == (0.25, None, 1.5)
    assert third["features"][1] != third["features"][1]


def test_columns_are_recorded_only_where_the_collector_was_told_to(collectors: Collectors, tmp_path: Path):
    collectors.start("--spool-folder", str(tmp_path / "spool"), "--payload-columns", "flight-delay=distance")
    for service, model in (("flight-delay-stable", "flight-delay"), ("other-candidate", "other")):
        answer = V2_ANSWER | {"model_name": model}
        collectors.post(*logged("request", "a", V2_REQUEST, service))
        collectors.post(*logged("response", "a", answer, service))
    wait_until(lambda: bool(rows(collectors)) and bool(rows(collectors, "other")))
    assert json.loads(rows(collectors)[0]["columns"]) == {"distance": 100}
    assert rows(collectors, "other")[0]["columns"] is None


def test_a_half_that_stays_alone_is_not_waited_for_for_ever(collectors: Collectors, tmp_path: Path):
    start(collectors, tmp_path, "--payload-seconds", "0.3")
    collectors.post(*logged("request", "never answered", V2_REQUEST))
    collectors.post(*logged("response", "never asked", V2_ANSWER))
    wait_until(lambda: value(collectors, 'fairlead_collector_payloads_total{result="request_only"}') == 1)
    wait_until(lambda: len(rows(collectors)) == 2)
    assert [row["columns"] for row in rows(collectors)] == [None, None]
    wait_until(lambda: value(collectors, "fairlead_collector_unpaired_payloads") == 0)


def test_an_id_that_a_caller_uses_twice_makes_two_records(collectors: Collectors, tmp_path: Path):
    start(collectors, tmp_path)
    for _ in range(2):
        collectors.post(*logged("request", "same", V2_REQUEST))
        collectors.post(*logged("response", "same", V2_ANSWER))
    wait_until(lambda: len(rows(collectors)) == 4)


def test_payloads_that_nobody_can_read_are_counted_and_block_no_others(collectors: Collectors, tmp_path: Path):
    start(collectors, tmp_path)
    for name, answer in (("bad", {"outputs": []}), ("good", V2_ANSWER)):
        collectors.post(*logged("request", name, V2_REQUEST))
        collectors.post(*logged("response", name, answer))
    wait_until(lambda: len(rows(collectors)) == 2)
    assert value(collectors, 'fairlead_collector_payloads_total{result="unreadable"}') == 2
    assert collectors.process is not None
    collectors.process.terminate()
    assert collectors.process.wait(60) == 0
    assert collectors.process.stderr is not None
    assert "the answer must have `predictions`, or an output 'score'" in collectors.process.stderr.read()
    collectors.process.stderr.close()
    collectors.process = None


def test_more_payloads_than_may_wait_are_refused_for_now(collectors: Collectors, tmp_path: Path):
    start(collectors, tmp_path, "--payload-bytes", "400")
    statuses = [collectors.post(*logged("request", str(number), V2_REQUEST)) for number in range(5)]
    assert [answer.status_code for answer in statuses][-1] == 429
    assert statuses[-1].headers["retry-after"] == "1"


def test_without_a_folder_to_wait_in_they_are_refused(collectors: Collectors):
    collectors.start()
    answer = collectors.post(*logged("request", "a", V2_REQUEST))
    assert answer.status_code == 415
    assert "--spool-folder" in answer.json()["error"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Ce-Id": ""}, "must have the header ce-id"),
        ({"Ce-Time": "yesterday"}, "must be an instant, but is 'yesterday'"),
        ({"Ce-Annotations": "[]"}, "ce-annotations must be an object"),
    ],
)
def test_a_payload_that_is_none_is_told(collectors: Collectors, tmp_path: Path, changes: dict[str, str], reason: str):
    start(collectors, tmp_path)
    answer = collectors.post(*logged("request", "a", V2_REQUEST, **changes))
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


def test_a_killed_collector_loses_no_half_that_it_acknowledged_and_doubles_none(collectors: Collectors, tmp_path: Path):
    start(collectors, tmp_path)
    acknowledged: list[tuple[str, str]] = []
    ended = threading.Event()

    def post(side: str, body: Any) -> None:
        number = 0
        with httpx.Client(timeout=60) as client:
            while not ended.is_set() and number < 5000:
                content, headers = logged(side, f"{number}", body)
                with suppress(httpx.TransportError):
                    if client.post(collectors.url, content=content, headers=headers).status_code == 202:
                        acknowledged.append((f"{number}", side))
                        number += 1
                        continue
                ended.wait(0.02)
                number += 1  # KServe's agent drops what it could not deliver

    posting = [threading.Thread(target=post, args=item) for item in (("request", V2_REQUEST), ("response", V2_ANSWER))]
    for thread in posting:
        thread.start()
    wait_until(lambda: len(acknowledged) > 100)
    collectors.end(signal.SIGKILL)
    start(collectors, tmp_path)
    enough = len(acknowledged) + 100
    wait_until(lambda: len(acknowledged) > enough)
    ended.set()
    for thread in posting:
        thread.join()
    requests = {name for name, side in acknowledged if side == "request"}
    pairs = requests & {name for name, side in acknowledged if side == "response"}
    wait_until(lambda: pairs <= {row["request_id"] for row in rows(collectors)})
    kept = [(row["request_id"], row["row"]) for row in rows(collectors)]
    assert len(kept) == len(set(kept))
