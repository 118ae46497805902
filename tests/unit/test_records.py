"""What a record of a request holds, and what comes out of it again."""

import hashlib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fairlead.errors import HomeError, RecordError
from fairlead.packaging.bundle import Bundle
from fairlead.packaging.signature import Input, Signature
from fairlead.records.reading import read_batch, read_binary, read_event
from fairlead.records.record import EventEncoder, Pseudonyms
from fairlead.records.recorder import Recorder
from fairlead.records.rows import SCHEMA, to_table
from fairlead.settings import RecordSettings, record_settings
from serving.recording import RequestRecorder

KEY = "a key that nobody knows"
COLUMNS = {"carrier": ["UA", None], "distance": [2.5, None], "tailnum": ["N1", "N2"]}
MATRIX = np.array([[1, 2.5, np.nan], [-1, 0.1, 7]], dtype=np.float32)
SCORES = np.array([0.25, 0.75], dtype=np.float32)
ANSWER = {
    "request_id": "r-1",
    "columns": COLUMNS,
    "matrix": MATRIX,
    "scores": SCORES,
    "decisions": SCORES >= 0.5,
    "latency_ms": 1.5,
}


def bundle(personal: dict[str, Any] | None = None, features: str = "values", **changes: Any) -> Bundle:
    content: dict[str, Any] = {
        "model": "flight-delay",
        "description": "Late?",
        "version": "3",
        "task": "binary",
        "candidate": "logistic",
        "signature": Signature(
            inputs=[
                Input(name="carrier", source="request", kind="category", categories=["AA", "UA"]),
                Input(name="distance", source="request", kind="number"),
                Input(name="weather__wind_mph", source="feature", kind="number"),
            ],
            entities=["tailnum"],
            personal=personal or {},
        ),
        "threshold": 0.5,
        "feature_service": "flight_v1",
        "serving": {"records": {"features": features}},
        "dataset": "flights",
        "as_of": "2013-10-01T00:00:00Z",
        "tables": {},
        "code_version": "src-0",
        "lock": "lock-0",
        "spec_digest": "0",
        "opset": 17,
        "files": {},
    }
    return Bundle(**{**content, **changes})


def encode(personal: dict[str, Any] | None = None, features: str = "values", **changes: Any) -> bytes:
    return EventEncoder(bundle(personal, features), Pseudonyms(KEY)).answered(**{**ANSWER, **changes})


def rows(*events: bytes) -> list[dict[str, Any]]:
    table = to_table([read_event(event) for event in events], datetime.now(UTC))
    assert table.schema == SCHEMA
    return table.to_pylist()


def test_an_answer_becomes_one_row_a_prediction():
    first, second = rows(encode())
    assert first["id"].endswith("-0/0")
    assert second["id"].endswith("-0/1")
    assert first["event_id"] == second["event_id"]
    assert (first["columns"], second["columns"]) == (
        '{"carrier":"UA","distance":2.5,"tailnum":"N1"}',
        '{"carrier":null,"distance":null,"tailnum":"N2"}',
    )
    assert (first["score"], first["decision"], second["score"], second["decision"]) == (0.25, False, 0.75, True)
    assert (first["version"], first["request_id"], first["status"], first["rows"]) == ("3", "r-1", 200, 2)
    assert first["day"] == first["time"].date()
    assert first["features_hash"] is first["error"] is first["asked_at"] is None


def test_a_failure_becomes_one_row_without_a_score():
    event = EventEncoder(bundle(), None).failed(request_id=None, status=400, reason="must be a, but is b", latency_ms=1)
    (row,) = rows(event)
    assert (row["status"], row["error"], row["score"], row["rows"]) == (400, "must be a, but is b", None, 0)


@given(
    matrix=st.integers(1, 5).flatmap(lambda n: arrays(np.float32, (n, 3), elements=st.floats(width=32))),
    data=st.data(),
)
@settings(deadline=None, max_examples=60)
def test_what_was_written_is_read_again(matrix: np.ndarray, data: st.DataObject):
    n = len(matrix)
    values = st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(codec="utf-8"))
    columns = {name: data.draw(st.lists(values, min_size=n, max_size=n)) for name in COLUMNS}
    scores = data.draw(arrays(np.float32, n, elements=st.floats(0, 1, width=32)))
    event = read_event(encode(columns=columns, matrix=matrix, scores=scores, decisions=scores > 0.5))
    found = event.data.matrix()
    assert found is not None
    assert found.tobytes() == matrix.tobytes()
    assert event.data.columns == columns
    assert np.array(event.data.scores, dtype=np.float32).tobytes() == scores.tobytes()
    assert event.data.decisions == (scores > 0.5).tolist()


def test_mirrored_requests_can_be_told_from_live_ones():
    failed = EventEncoder(bundle(), None).failed(request_id=None, status=400, reason="", latency_ms=1, mirrored=True)
    assert [row["mirrored"] for row in rows(encode(mirrored=True), failed)] == [True] * 3
    assert [row["mirrored"] for row in rows(encode())] == [False] * 2


def test_numpy_columns_are_recorded_like_lists():
    columns = {
        "carrier": np.array(["UA", None], dtype=object),
        "distance": np.array([2.5, np.nan]),
        "tailnum": [b"N1", "N2"],
    }
    assert [row["columns"] for row in rows(encode(columns=columns))] == [row["columns"] for row in rows(encode())]


def test_a_caller_that_sends_the_matrix_has_no_columns():
    assert [row["columns"] for row in rows(encode(columns=None))] == [None, None]


def test_ids_are_unique_over_encoders_and_events():
    encoders = [EventEncoder(bundle(), None) for _ in range(3)]
    events = [encoder.answered(**ANSWER) for _ in range(100) for encoder in encoders]
    assert len({read_event(event).id for event in events}) == 300


def test_the_source_names_model_and_version():
    assert read_event(encode()).source == "/models/flight-delay/3"
    unreleased = EventEncoder(bundle(version=None), None).answered(**ANSWER)
    assert read_event(unreleased).source == "/models/flight-delay"


def test_personal_columns_follow_their_rules():
    event = encode({"tailnum": "pseudonymise", "carrier": "drop", "distance": "keep"})
    assert b"N1" not in event
    columns = read_event(event).data.columns
    assert columns is not None
    assert set(columns) == {"distance", "tailnum"}
    key = hashlib.blake2b(KEY.encode(), digest_size=32).digest()
    assert columns["tailnum"][0] == hashlib.blake2b(b"N1", key=key, digest_size=16).hexdigest()


def test_a_pseudonym_is_the_same_for_a_number_and_its_text_and_another_under_another_key():
    assert Pseudonyms(KEY).of(7) == Pseudonyms(KEY).of("7") == Pseudonyms(KEY).of(b"7")
    assert Pseudonyms(KEY).of(7) != Pseudonyms("another key of length").of(7)
    assert Pseudonyms(KEY).of(None) is None


@pytest.mark.parametrize("rule", ["drop", "pseudonymise"])
def test_a_personal_column_is_not_in_the_matrix_either(rule: str):
    found = read_event(encode({"distance": rule})).data.matrix()
    assert found is not None
    assert np.isnan(found[:, 1]).all()
    assert found[:, 0].tolist() == [1, -1]
    assert MATRIX[0, 1] == 2.5


def test_a_reason_does_not_quote_values_where_columns_are_personal():
    encoder = EventEncoder(bundle({"tailnum": "drop"}), None)
    event = encoder.failed(
        request_id=None, status=400, reason="column 'tailnum' must hold text, but row 0 is 'N1\ud800'", latency_ms=1
    )
    assert rows(event)[0]["error"] == "column 'tailnum' must hold text"


def test_features_can_be_a_hash_or_nothing():
    hashed = rows(encode(features="hash"))
    expected = hashlib.blake2b(MATRIX.tobytes(), digest_size=16).hexdigest()
    assert [(row["features_hash"], row["features"]) for row in hashed] == [(expected, None)] * 2
    assert [(row["features_hash"], row["features"]) for row in rows(encode(features="none"))] == [(None, None)] * 2


def test_a_pseudonym_without_a_key_is_refused_before_any_request():
    with pytest.raises(RecordError, match="'tailnum' as a pseudonym, but FAIRLEAD_PSEUDONYM_KEY is not set"):
        EventEncoder(bundle({"tailnum": "pseudonymise"}), None)


def test_a_value_that_json_cannot_hold_is_named():
    with pytest.raises(RecordError, match=r"a record must be JSON.*request 'r-1'"):
        encode(columns={**COLUMNS, "tailnum": [object(), "N2"]})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"rows":2', b'"rows":3', "data: scores must hold 3 values like `rows`, but holds 2"),
        (b'"specversion":"1.0"', b'"specversion":"2.0"', "specversion: Input should be '1.0'"),
        (b"io.fairlead.prediction.v1", b"com.example", "type: Input should be 'io.fairlead.prediction.v1'"),
        (b'"flight-delay"', b'"../elsewhere"', "data.model: String should match pattern"),
        (b'"features":"', b'"features":"?', "data: features must be base64"),
        (b'"id":', b'"no-id":', "id: Field required"),
        (b'Z","data"', b'","data"', "time: Input should have timezone info"),
        (b'"status":200', b'"status":1000000000000', "data.status: Input should be less than or equal to 599"),
        (b"[2.5,null]", b"[99999999999999999999,null]", "data: columns must hold text, 64-bit numbers and the like"),
        (b'"time":"20', b'"time":"0001-01-01T00:00:00+09:00","was":"20', "time: must be an instant of the years 1 to"),
        (b'{"spec', b"{spec", "the body: Invalid JSON"),
    ],
)
def test_what_is_no_record_is_refused_with_the_place(old: bytes, new: bytes, message: str):
    event = encode()
    assert old in event
    with pytest.raises(RecordError) as caught:
        read_batch(b"[" + event.replace(old, new) + b"]")
    assert message in str(caught.value)


def test_binary_mode_carries_the_same_event():
    event = read_event(encode())
    headers = {f"ce-{name}": str(getattr(event, name)) for name in ("specversion", "type", "source", "id")}
    headers["ce-time"] = event.time.isoformat()
    assert read_binary(headers, event.data.model_dump_json().encode()) == event
    with pytest.raises(RecordError, match="must have the header ce-id"):
        read_binary({name: value for name, value in headers.items() if name != "ce-id"}, b"{}")


def test_without_a_collector_there_is_no_recorder():
    assert Recorder.open(RecordSettings()) is None


def test_a_collector_needs_a_spool_and_the_message_names_what_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FAIRLEAD_COLLECTOR_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("FAIRLEAD_SPOOL_BYTES", "1000000")
    with pytest.raises(HomeError, match="must also set FAIRLEAD_SPOOL_FOLDER, FAIRLEAD_SPOOL_WHEN_FULL"):
        record_settings()


def test_a_refused_key_is_not_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FAIRLEAD_PSEUDONYM_KEY", "secret")
    with pytest.raises(HomeError, match="FAIRLEAD_PSEUDONYM_KEY: ") as caught:
        record_settings()
    assert "secret" not in str(caught.value)


def test_a_server_records_answers_and_failures_of_a_bundle(tmp_path: Path):
    where = {"collector_url": "http://127.0.0.1:9", "spool_folder": tmp_path, "spool_bytes": 100_000}
    recorder = Recorder.open(RecordSettings(**where, spool_when_full="refuse"))
    assert recorder is not None
    requests = RequestRecorder(bundle(), recorder)
    probabilities = np.stack([1 - SCORES, SCORES], axis=1)
    requests.answered(COLUMNS, MATRIX, probabilities, None, "r-1", 0.0, asked_at=datetime(2013, 10, 1, tzinfo=UTC))
    requests.failed("r-2", 503, "no features", 0.0)
    assert recorder.counts().depth_events == 2
    batch = recorder._spool.read()
    assert batch is not None
    first, _, failed = rows(*batch.events)
    assert first["asked_at"].date() == date(2013, 10, 1)
    assert (first["decision"], failed["request_id"], failed["error"]) == (False, "r-2", "no features")
    recorder.close(0)
