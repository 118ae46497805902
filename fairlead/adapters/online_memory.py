"""Online features in memory: for tests, and for dry runs without a store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from fairlead.adapters.online_rows import Deadline
from fairlead.errors import BundleError, FeatureError, StoreDownError
from fairlead.features.lookup import Looked, count_rows
from fairlead.packaging.signature import Input, encode
from fairlead.spec.dataset import did_you_mean

Key = tuple[tuple[type, Any], ...]


@dataclass(frozen=True)
class MemoryView:
    """A feature view and its rows."""

    name: str
    entities: Sequence[str]
    """Join keys; none for a view with one row for all."""
    features: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    """Each holds the join keys, `known_at` (an instant) and the features; their order does not matter."""
    ttl: timedelta | None = None
    """A row older than this is not told; None: it never expires."""


class MemoryReader:
    """`OnlineReader` over dictionaries: the newest row of each entity."""

    def __init__(self, views: Sequence[MemoryView], inputs: Sequence[Input]) -> None:
        """Take the rows of the views that the inputs need.

        Raises:
            FeatureError: an input belongs to no view.
        """
        self.views = tuple(views)
        known = {f"{view.name}__{feature}": (view, feature) for view in views for feature in view.features}
        unknown = next((item.name for item in inputs if item.name not in known), None)
        if unknown is not None:
            raise FeatureError(f"looked-up input {unknown!r}" + did_you_mean(unknown, known))
        self._columns = [(item, *known[item.name]) for item in inputs]
        self._views = {view.name: view for _, view, _ in self._columns}
        self._newest = {name: _newest(view) for name, view in self._views.items()}
        self.down: str | None = None
        """Why every read fails; None: none does."""

    def read(self, keys: Mapping[str, Sequence[Any]], asked_at: datetime, deadline_seconds: float) -> Looked:
        """See `fairlead.ports.OnlineReader`."""
        Deadline(deadline_seconds).left()
        if self.down is not None:
            raise StoreDownError(self.down)
        count = count_rows(keys, sorted({name for view in self._views.values() for name in view.entities}))
        rows = {
            name: [self._row(view, keys, row, asked_at) for row in range(count)] for name, view in self._views.items()
        }
        lost = {name: sum(row is None for row in found) for name, found in rows.items()}
        values = np.empty((count, len(self._columns)), dtype=np.float32)
        for index, (item, view, feature) in enumerate(self._columns):
            try:
                values[:, index] = encode(item, [row and row.get(feature) for row in rows[view.name]])
            except BundleError as error:
                raise FeatureError(f"the online store does not fit the model: {error}") from None
        return Looked(values, {name: count for name, count in lost.items() if count})

    def _row(
        self, view: MemoryView, keys: Mapping[str, Sequence[Any]], row: int, asked_at: datetime
    ) -> Mapping[str, Any] | None:
        found = self._newest[view.name].get(_key([keys[name][row] for name in view.entities]))
        if found is None or (view.ttl and found["known_at"] < asked_at - view.ttl):
            return None
        return found


def _newest(view: MemoryView) -> dict[Key, Mapping[str, Any]]:
    ordered = sorted(view.rows, key=lambda row: row["known_at"])
    newest = {_key([row[name] for name in view.entities]): row for row in ordered}
    return {key: row for key, row in newest.items() if all(kind is not type(None) for kind, _ in key)}


def _key(values: Sequence[Any]) -> Key:
    """With types, for True is 1 in Python; what cannot be a key is nobody's."""
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    return tuple((type(value), value if isinstance(value, (str, int)) else None) for value in plain)
