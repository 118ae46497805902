"""Payloads of KServe's logger that wait for their other half, on disk: its sender tries once and never again."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock

from fairlead.errors import HomeError
from fairlead.records.kserve import Payload

FILE = "payloads.sqlite"
BUSY_SECONDS = 20.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS payloads (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    side TEXT NOT NULL,
    time TEXT NOT NULL,
    model TEXT NOT NULL,
    version TEXT,
    body BLOB NOT NULL,
    received REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS by_key ON payloads (key);
CREATE INDEX IF NOT EXISTS by_received ON payloads (received);
"""
ANSWERS_WITH_REQUESTS = """
SELECT answer.*, request.* FROM payloads AS answer
LEFT JOIN payloads AS request ON request.number = (
    SELECT min(number) FROM payloads WHERE key = answer.key AND side = 'request'
)
WHERE answer.number IN (SELECT min(number) FROM payloads WHERE side = 'response' GROUP BY key)
AND (request.number IS NOT NULL OR answer.received < ?)
ORDER BY answer.number LIMIT ?
"""
COLUMNS = 8


@dataclass(frozen=True)
class Pair:
    """An answer, and what was asked; None: it did not come in time."""

    answer: Payload
    request: Payload | None
    numbers: tuple[int, ...]
    """By which `Halves.remove` knows them."""


class Halves:
    """A table in SQLite; every method raises HomeError where it cannot be had.

    What `add` returned from outlives a kill. Several processes may share the folder.

    It is not forced to the disk: a power cut may lose the last seconds, as with the servers' own spool.
    """

    def __init__(self, folder: Path) -> None:
        """Take a folder, and what a process before left there."""
        self._path = folder / FILE
        self._lock = Lock()
        with self._told():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._base = sqlite3.connect(self._path, timeout=BUSY_SECONDS, check_same_thread=False)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            self._base.executescript(SCHEMA)

    def add(self, payloads: Sequence[Payload]) -> None:
        """Keep them."""
        now = datetime.now(UTC).timestamp()
        rows = [(p.key, p.side, p.time.isoformat(), p.model, p.version, p.body, now) for p in payloads]
        with self._told(), self._lock, self._base:
            self._base.executemany(
                "INSERT INTO payloads (key, side, time, model, version, body, received) VALUES (?,?,?,?,?,?,?)", rows
            )

    def pairs(self, patience: timedelta, most: int) -> list[Pair]:
        """Answers with their requests, the oldest first; those without one only after `patience`.

        One of each key: a caller may have used an id twice.
        """
        since = (datetime.now(UTC) - patience).timestamp()
        with self._told(), self._lock:
            rows = self._base.execute(ANSWERS_WITH_REQUESTS, (since, most)).fetchall()
        return [_pair(row) for row in rows]

    def remove(self, numbers: Sequence[int]) -> None:
        """Forget what is recorded, or never will be."""
        with self._told(), self._lock, self._base:
            self._base.executemany("DELETE FROM payloads WHERE number = ?", [(number,) for number in numbers])

    def give_up_requests(self, patience: timedelta) -> int:
        """Forget requests whose answer never came: they were refused, or it was lost; returns how many."""
        since = (datetime.now(UTC) - patience).timestamp()
        with self._told(), self._lock, self._base:
            return self._base.execute(
                "DELETE FROM payloads WHERE side = 'request' AND received < ?"
                " AND NOT EXISTS (SELECT 1 FROM payloads AS answer WHERE answer.key = payloads.key"
                " AND answer.side = 'response')",
                (since,),
            ).rowcount

    def waiting(self) -> tuple[int, int]:
        """How many there are, and how many bytes."""
        with self._told(), self._lock:
            count, size = self._base.execute("SELECT count(*), coalesce(sum(length(body)), 0) FROM payloads").fetchone()
        return int(count), int(size)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise HomeError(f"cannot keep payloads in {self._path}: {error}") from None

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()


def _pair(row: Sequence[object]) -> Pair:
    answer, request = row[:COLUMNS], row[COLUMNS:]
    numbers = tuple(int(str(half[0])) for half in (answer, request) if half[0] is not None)
    return Pair(_payload(answer), None if request[0] is None else _payload(request), numbers)


def _payload(row: Sequence[object]) -> Payload:
    _, key, side, time, model, version, body, _ = row
    assert isinstance(body, bytes)
    return Payload(
        key=str(key),
        side="response" if side == "response" else "request",
        time=datetime.fromisoformat(str(time)),
        model=str(model),
        version=None if version is None else str(version),
        body=body,
    )
