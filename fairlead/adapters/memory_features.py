"""Online features in memory: for tests, and for dry runs without a store."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fairlead.errors import FeatureError
from fairlead.spec.dataset import did_you_mean

Key = tuple[Any, ...]


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


class MemoryFeatures:
    """The online part of `FeatureStore`: the newest row of each entity, in dictionaries."""

    def __init__(self, views: Iterable[MemoryView], services: Mapping[str, Sequence[str]]) -> None:
        """Take the rows of each view.

        Args:
            views: the views that exist.
            services: service → names of its views, in the order in which they are answered.
        """
        self._views = {view.name: view for view in views}
        self._services = dict(services)
        self._newest = {name: _newest(view) for name, view in self._views.items()}

    def online(self, service: str, keys: Mapping[str, Sequence[Any]], asked_at: datetime) -> dict[str, list[Any]]:
        """`<view>__<feature>` → one value an entity row; None where missing or older than the view's TTL.

        A service that needs no key is answered once. Keys that a service does not need are ignored.

        Raises:
            FeatureError: there is no such service, or an entity key that it needs is missing or of another length.
        """
        views = self._of_service(service)
        rows = _count(keys, sorted({entity for view in views for entity in view.entities}))
        result: dict[str, list[Any]] = {}
        for view in views:
            found = [self._row(view, tuple(keys[name][row] for name in view.entities), asked_at) for row in range(rows)]
            for feature in view.features:
                result[f"{view.name}__{feature}"] = [row.get(feature) for row in found]
        return result

    def _of_service(self, service: str) -> list[MemoryView]:
        if service not in self._services:
            raise FeatureError(f"feature service {service!r}" + did_you_mean(service, self._services))
        return [self._views[name] for name in self._services[service]]

    def _row(self, view: MemoryView, key: Key, asked_at: datetime) -> Mapping[str, Any]:
        row = self._newest[view.name].get(key)
        if row is None or (view.ttl is not None and row["known_at"] < asked_at - view.ttl):
            return {}
        return row


def _newest(view: MemoryView) -> dict[Key, Mapping[str, Any]]:
    ordered = sorted(view.rows, key=lambda row: row["known_at"])
    newest = {tuple(row[name] for name in view.entities): row for row in ordered}
    return {key: row for key, row in newest.items() if None not in key}


def _count(keys: Mapping[str, Sequence[Any]], wanted: Sequence[str]) -> int:
    """How many entity rows are asked for; one where no key is needed."""
    missing = [name for name in wanted if name not in keys]
    if missing:
        raise FeatureError(f"entity key {missing[0]!r} is required, but missing; required are {', '.join(wanted)}")
    lengths = {name: len(keys[name]) for name in wanted}
    if len(set(lengths.values())) > 1:
        raise FeatureError(f"entity keys must have one value a row each, but their lengths are {lengths}")
    return next(iter(lengths.values()), 1)
