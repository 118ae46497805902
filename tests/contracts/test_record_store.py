"""What every `RecordStore` does."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from fairlead.adapters import delta_records
from fairlead.adapters.delta_records import DeltaRecords
from fairlead.adapters.memory_records import MemoryRecords
from fairlead.errors import HomeError
from fairlead.ports import RecordStore
from fairlead.records.reading import PredictionData, PredictionEvent
from fairlead.records.rows import SCHEMA
from tests.s3_server import BUCKET, s3_server

DAY = date(2013, 10, 1)
NEXT = date(2013, 10, 2)
FIRST, LAST = date(2000, 1, 1), date(2100, 1, 1)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server():
        yield f"s3://{BUCKET}"


@pytest.fixture(params=["memory", "delta", "delta in s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> RecordStore:
    if request.param == "memory":
        return MemoryRecords()
    root = tmp_path / "with space"
    return DeltaRecords(str(root) if request.param == "delta" else f"{request.getfixturevalue('s3')}{root}")


def event(identifier: str, rows: int = 1, day: date = DAY, **changes: Any) -> PredictionEvent:
    data = {
        "model": "m",
        "rows": rows,
        "scores": [0.5] * rows,
        "decisions": [True] * rows,
        "latency_ms": 1,
        "status": 200,
    }
    return PredictionEvent(
        specversion="1.0",
        type="io.fairlead.prediction.v1",
        source="/models/m/1",
        id=identifier,
        time=datetime(day.year, day.month, day.day, 23, 30, tzinfo=UTC),
        data=PredictionData(**{**data, **changes}),
    )


def ids(store: RecordStore, model: str = "m", first: date = FIRST, last: date = LAST) -> list[str]:
    rows = store.read(model, first, last)
    assert rows.schema == SCHEMA
    return sorted(rows.column("id").to_pylist())


def test_each_prediction_is_a_row(store: RecordStore):
    assert store.add("m", [event("a", rows=2), event("b")]) == 3
    assert ids(store) == ["a/0", "a/1", "b/0"]


def test_an_event_that_comes_again_is_kept_once(store: RecordStore):
    store.add("m", [event("a", rows=2), event("a", rows=2)])
    assert store.add("m", [event("a", rows=2), event("b")]) == 1
    assert store.add("m", [event("a", rows=2)]) == 0
    assert ids(store) == ["a/0", "a/1", "b/0"]


def test_some_columns_are_read_in_the_order_of_asking(store: RecordStore):
    store.add("m", [event("a", rows=2)])
    rows = store.read("m", FIRST, LAST, ["score", "day", "id"])
    assert rows.to_pylist() == [{"score": 0.5, "day": DAY, "id": f"a/{row}"} for row in range(2)]
    assert store.read("other", FIRST, LAST, ["score"]).num_columns == 1


def test_days_are_those_of_utc_and_are_read_apart(store: RecordStore):
    store.add("m", [event("a"), event("b", day=NEXT)])
    assert ids(store, first=DAY, last=DAY) == ["a/0"]
    assert ids(store, first=NEXT, last=LAST) == ["b/0"]


def test_models_are_kept_apart(store: RecordStore):
    store.add("m", [event("a")])
    store.add("other", [event("a")])
    assert (ids(store), ids(store, "other"), ids(store, "third")) == (["a/0"], ["a/0"], [])


def test_threads_that_add_the_same_events_keep_them_once(store: RecordStore):
    batches = [[event(str(number)) for number in range(start, start + 10)] for start in (0, 5, 0, 5)]
    with ThreadPoolExecutor(4) as pool:
        new = list(pool.map(lambda events: store.add("m", events), batches))
    assert sum(new) == 15
    assert len(ids(store)) == 15


def test_features_and_missing_values_are_kept_as_they_were(store: RecordStore):
    store.add("m", [event("a", features="AACAPwAAwH8="), event("b", rows=0)])
    first, second = sorted(store.read("m", FIRST, LAST).to_pylist(), key=lambda row: row["id"])
    assert first["features"][0] == 1.0
    assert first["features"][1] != first["features"][1]
    assert (second["features"], second["score"], second["decision"]) == (None, None, None)


def test_after_a_restart_an_event_is_still_known(tmp_path: Path):
    DeltaRecords(str(tmp_path)).add("m", [event("a"), event("b", day=NEXT)])
    restarted = DeltaRecords(str(tmp_path))
    assert restarted.add("m", [event("a"), event("b", day=NEXT), event("c")]) == 1
    assert ids(restarted) == ["a/0", "b/0", "c/0"]


def test_two_writers_of_one_table_keep_an_event_once(tmp_path: Path):
    writers = [DeltaRecords(str(tmp_path)) for _ in range(2)]
    for writer in writers:
        writer.add("m", [event("first")])

    def add(writer: DeltaRecords) -> int:
        return sum(writer.add("m", [event(str(number))]) for number in range(15))

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(add, writers)) == 15
    assert len(ids(writers[0])) == 16


def test_days_that_were_forgotten_are_looked_up_again(tmp_path: Path):
    store = DeltaRecords(str(tmp_path))
    days = [date(2013, 10, day) for day in range(1, delta_records.DAYS_KNOWN + 4)]
    events = [event(str(day), day=day) for day in days]
    assert store.add("m", events) == len(days)
    assert store.add("m", events) == 0


def test_the_files_of_a_day_become_one_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(delta_records, "COMPACT_EVERY", 5)
    store = DeltaRecords(str(tmp_path))
    for number in range(12):
        assert store.add("m", [event(str(number))]) == 1
    assert len(ids(DeltaRecords(str(tmp_path)))) == 12
    uris = delta_records._ModelTable(f"{tmp_path}/records/m")
    assert uris._open() is not None
    assert len(uris._files(None)) == 4
    assert store.add("m", [event("3")]) == 0


def files_of(root: Path, day: date) -> int:
    from deltalake import DeltaTable

    return len(DeltaTable(str(root / "records" / "m")).file_uris([("day", "=", day.isoformat())]))


def test_the_files_of_a_day_become_one_when_the_next_begins(tmp_path: Path):
    store = DeltaRecords(str(tmp_path))
    for number in range(5):
        store.add("m", [event(str(number))])
    assert files_of(tmp_path, DAY) == 5
    store.add("m", [event("next", day=NEXT)])
    assert files_of(tmp_path, DAY) == 1
    store.add("m", [event("late"), event("next 2", day=NEXT)])
    assert files_of(tmp_path, DAY) == 2
    assert len(ids(store)) == 8


def test_files_that_a_process_before_left_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(delta_records, "COMPACT_EVERY", 6)
    for number in range(5):
        DeltaRecords(str(tmp_path)).add("m", [event(str(number))])
    DeltaRecords(str(tmp_path)).add("m", [event("last")])
    assert files_of(tmp_path, DAY) == 1


def test_a_folder_that_cannot_be_written_is_one_message(tmp_path: Path):
    (tmp_path / "records").write_text("")
    with pytest.raises(HomeError, match="cannot write records to"):
        DeltaRecords(str(tmp_path)).add("m", [event("a")])


def test_records_that_cannot_be_read_are_one_message(tmp_path: Path):
    store = DeltaRecords(str(tmp_path))
    store.add("m", [event("a")])
    for path in (tmp_path / "records" / "m").rglob("*.parquet"):
        path.write_bytes(b"no parquet")
    with pytest.raises(HomeError, match="cannot read records of"):
        store.read("m", FIRST, LAST)
