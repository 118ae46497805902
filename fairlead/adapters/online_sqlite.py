"""Rows of Feast's online store in SQLite: one query for each view."""

import os
import sqlite3
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from fairlead.adapters.feast_layout import oldest_in_sqlite, table
from fairlead.adapters.online_rows import Cell, Deadline, KeyGroup, Row
from fairlead.errors import StoreDownError
from fairlead.features.lookup import LookupView

MOST_KEYS = 500
"""In one query; SQLite's own limit is 32,766."""
INSTRUCTIONS = 1000
"""Of SQLite's machine, between two looks at the clock: some tens of microseconds."""


class SqliteRows:
    """`RowStore` in Feast's SQLite layout: a table for each view, a row for each feature of an entity."""

    def __init__(self, groups: Sequence[KeyGroup], project: str, path: Path) -> None:
        """Prepare the queries; nothing is opened yet."""
        self._groups = groups
        self._tables = {view.name: table(project, view.name) for group in groups for view in group.views}
        self._places = [{field: place for place, field in enumerate(group.fields)} for group in groups]
        self._path = path
        self._thread = threading.local()

    def oldest(self, view: LookupView, asked_at: datetime) -> float | None:
        """See `RowStore`."""
        return oldest_in_sqlite(view, asked_at)

    def fetch(self, wanted: Sequence[Sequence[bytes]], deadline: Deadline) -> list[list[Row]]:
        """See `RowStore`."""
        try:
            connection = self._open(deadline)
            return [self._group(connection, index, keys, deadline) for index, keys in enumerate(wanted)]
        except sqlite3.Error as error:
            self._thread.connection = None
            deadline.left()
            raise StoreDownError(f"the online store {self._path} cannot be read: {error}") from None

    def _group(
        self, connection: sqlite3.Connection, index: int, keys: Sequence[bytes], deadline: Deadline
    ) -> list[Row]:
        group = self._groups[index]
        cells: dict[bytes, list[Cell]] = {key: [None] * len(group.fields) for key in keys}
        times: dict[bytes, list[float | None]] = {key: [None] * len(group.views) for key in keys}
        for position, view in enumerate(group.views):
            places = {feature: self._places[index][view.name, feature] for feature in view.features}
            for start in range(0, len(keys), MOST_KEYS):
                deadline.left()
                part = keys[start : start + MOST_KEYS]
                for key, feature, content, time in connection.execute(self._query(view.name, len(part)), part):
                    times[key][position] = time
                    if feature in places:
                        cells[key][places[feature]] = content
        return [Row(cells[key], times[key]) for key in keys]

    def _query(self, view: str, keys: int) -> str:
        return (
            f"SELECT entity_key, feature_name, value, event_ts FROM {self._tables[view]} "
            f"WHERE entity_key IN ({','.join('?' * keys)})"
        )

    def _open(self, deadline: Deadline) -> sqlite3.Connection:
        """This thread's own connection; a forked process does not use its parent's."""
        connection: sqlite3.Connection | None = getattr(self._thread, "connection", None)
        if connection is None or self._thread.process != os.getpid():
            connection = sqlite3.connect(f"file:{quote(str(self._path))}?mode=ro", uri=True)
            self._thread.connection, self._thread.process = connection, os.getpid()
        # First of all: the deadline of the read before has passed by now, and would end any statement.
        connection.set_progress_handler(deadline.passed, INSTRUCTIONS)
        # How long it waits while Feast is writing.
        connection.execute(f"PRAGMA busy_timeout = {max(1, int(deadline.left() * 1000))}")
        return connection
