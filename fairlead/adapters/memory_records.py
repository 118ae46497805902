"""Records of predictions in memory, for tests."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from threading import Lock

import pyarrow as pa
import pyarrow.compute as pc

from fairlead.records.reading import PredictionEvent
from fairlead.records.rows import SCHEMA, to_table


class MemoryRecords:
    """`RecordStore` in dictionaries; it forgets when the process ends."""

    def __init__(self) -> None:
        self._events: dict[str, dict[tuple[str, str], pa.Table]] = {}
        self._lock = Lock()

    def add(self, model: str, events: Sequence[PredictionEvent]) -> int:
        with self._lock:
            kept = self._events.setdefault(model, {})
            before = sum(len(rows) for rows in kept.values())
            for event in events:
                kept.setdefault((event.day, event.id), to_table([event], datetime.now(UTC)))
            return sum(len(rows) for rows in kept.values()) - before

    def read(self, model: str, first: date, last: date, columns: Sequence[str] | None = None) -> pa.Table:
        with self._lock:
            rows = pa.concat_tables([SCHEMA.empty_table(), *self._events.get(model, {}).values()])
        found = rows.filter((pc.field("day") >= pa.scalar(first)) & (pc.field("day") <= pa.scalar(last)))
        return found.select(SCHEMA.names if columns is None else columns)
