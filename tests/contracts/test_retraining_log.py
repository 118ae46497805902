"""What every `RetrainingLog` does."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fairlead.adapters.retraining_log import FolderLog, MemoryLog, S3Log, open_log
from fairlead.errors import RetrainingError
from fairlead.ports import RetrainingLog
from fairlead.retraining.entries import Answered, Asked, Entry, Held
from tests.s3_server import BUCKET, s3_server

AT = datetime(2013, 3, 1, 12, 30, 0, 125000, tzinfo=UTC)
ENTRIES: list[Entry] = [
    Asked(at=AT, key="a", trigger="drift", by="InputNovel", why='says "so"\nand so', standing=True),
    Answered(at=AT, key="a", trigger="drift", started=False, reason="cooling_down", detail="…", until=AT, new_labels=7),
    Held(at=AT, by="ann", why=""),
]


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server():
        yield f"s3://{BUCKET}"


@pytest.fixture(params=["memory", "folder", "s3"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> RetrainingLog:
    if request.param == "memory":
        return MemoryLog()
    if request.param == "folder":
        return FolderLog(tmp_path / "with space")
    return S3Log(f"{request.getfixturevalue('s3')}{tmp_path}")


def test_a_log_that_was_never_written_is_empty(log: RetrainingLog) -> None:
    assert log.read("m") == []


def test_entries_come_back_in_their_order_and_whole(log: RetrainingLog) -> None:
    for number, entry in enumerate(ENTRIES):
        assert log.append("m", entry, number)
    assert log.read("m") == ENTRIES
    assert log.read("other") == []


def test_an_entry_decided_on_an_older_state_is_not_taken(log: RetrainingLog) -> None:
    assert log.append("m", ENTRIES[0], 0)
    assert not log.append("m", ENTRIES[1], 0)
    assert not log.append("m", ENTRIES[1], 2)
    assert log.read("m") == ENTRIES[:1]


def test_of_many_who_append_behind_the_same_entries_one_succeeds(log: RetrainingLog) -> None:
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda number: log.append("m", ENTRIES[number % 3], 0), range(8)))
    assert sum(done) == 1
    assert len(log.read("m")) == 1


def test_a_line_that_a_kill_has_torn_was_never_written(tmp_path: Path) -> None:
    log = FolderLog(tmp_path)
    log.append("m", ENTRIES[0], 0)
    path = tmp_path / "m.jsonl"
    path.write_bytes(path.read_bytes() + b'{"kind":"asked","at":"2013')
    assert log.read("m") == ENTRIES[:1]
    assert log.append("m", ENTRIES[2], 1)
    assert log.read("m") == [ENTRIES[0], ENTRIES[2]]


def test_a_line_that_is_no_entry_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"kind":"dreamt","at":"2013-03-01T00:00:00Z"}\n')
    with pytest.raises(RetrainingError, match=r"m\.jsonl:1"):
        FolderLog(tmp_path).read("m")


def test_a_log_lies_beside_the_tables(tmp_path: Path) -> None:
    open_log(str(tmp_path)).append("m", ENTRIES[0], 0)
    assert (tmp_path / "retraining" / "m.jsonl").exists()
