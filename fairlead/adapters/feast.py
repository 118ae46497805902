"""Feature views and services on Feast."""

import logging
import sqlite3
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from ruamel.yaml import YAML

from fairlead.adapters.delta import DeltaTables
from fairlead.errors import FeatureError
from fairlead.features.definitions import load_module
from fairlead.settings import Settings
from fairlead.spec.dataset import did_you_mean
from fairlead.tables.engine import connect

if TYPE_CHECKING:
    import feast
    import pandas as pd
    from feast.feature_view import FeatureView

DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL = "__dummy_id", ""
"""Feast's key of a view without entities (feast.feature_view)."""

NOBODY = {str: "", int: -(2**63)}
"""Stands for a missing entity key, or one of another type: Feast wants a value, and no entity has these."""


@dataclass(frozen=True)
class Service:
    """A feature service, as the rest of the platform sees it."""

    name: str
    entities: list[str]
    features: list[str]
    tables: list[str]


class FeastFeatures:
    """`FeatureStore` on a Feast repository: `feature_repo/<dataset>/views.py` and one feature_store.yaml."""

    def __init__(self, settings: Settings, dataset: str) -> None:
        self._settings = settings
        self._dataset = dataset
        self._applied: dict[str, list[FeatureView]] = {}
        self._stores: dict[str, feast.FeatureStore] = {}

    def apply(self) -> None:
        """Register the dataset's views and services; repeating it changes nothing."""
        self._store({}).apply(list(self._objects.values()))

    def describe(self, service: str) -> Service:
        self._service(service)
        views = self._views(service)
        return Service(
            name=service,
            entities=sorted({key for view in views for key in self._join_keys(view)}),
            features=[f"{view.name}__{field.name}" for view in views for field in view.features],
            tables=[_table(view) for view in views],
        )

    def historical(self, service: str, rows: "pd.DataFrame", versions: Mapping[str, int]) -> "pd.DataFrame":
        self._service(service)
        store = self._store(versions)
        job = store.get_historical_features(
            entity_df=rows, features=store.get_feature_service(service), full_feature_names=True
        )
        joined: pd.DataFrame = job.to_df()
        return joined

    def publish(self, service: str, versions: Mapping[str, int], start: datetime | None, end: datetime) -> int:
        store = self._store(versions)
        views = self._views(service)
        if start is None:
            self._clear(store, views)
        return sum(self._publish(store, view, versions[_table(view)], start, end) for view in views)

    def online(self, service: str, keys: Mapping[str, Sequence[Any]], asked_at: datetime) -> dict[str, list[Any]]:
        wanted = self.describe(service).entities
        missing = [name for name in wanted if name not in keys]
        if missing:
            raise FeatureError(f"entity key {missing[0]!r} is required, but missing; required are {', '.join(wanted)}")
        lengths = {name: len(keys[name]) for name in wanted}
        if len(set(lengths.values())) > 1:
            raise FeatureError(f"entity keys must have one value a row each, but their lengths are {lengths}")
        kinds = self._key_types(service)
        rows = {name: [_key(value, kinds[name]) for value in keys[name]] for name in wanted}
        # The online store's own read, view by view: FeatureStore.get_online_features parses the registry anew for
        # every request, 40 ms for eight views, and leaves values that have expired.
        answers: dict[str, list[Any]] = {}
        for view in self._registered(service):
            answers.update(self._read(view, rows, asked_at))
        return answers

    def _read(self, view: "FeatureView", rows: Mapping[str, list[Any]], asked_at: datetime) -> dict[str, list[Any]]:
        from feast.type_map import feast_value_type_to_python_type

        store, features = self._store({}), [field.name for field in view.features]
        oldest = asked_at - view.ttl if view.ttl else None
        try:
            found = store._get_provider().online_read(store.config, view, self._entity_keys(view, rows), features)
        except sqlite3.Error as error:
            raise FeatureError(f"the online store of {view.name} cannot be read: {error}") from None
        columns: dict[str, list[Any]] = {f"{view.name}__{name}": [] for name in features}
        for moment, values in found:
            fresh = values if moment is not None and (oldest is None or _in_utc(moment) >= oldest) else None
            for name in features:
                value = fresh.get(name) if fresh else None
                columns[f"{view.name}__{name}"].append(feast_value_type_to_python_type(value) if value else None)
        return columns

    def _entity_keys(self, view: "FeatureView", rows: Mapping[str, list[Any]]) -> list[Any]:
        """One key a row; a view without entities has the same for all."""
        from feast.protos.feast.types.EntityKey_pb2 import EntityKey
        from feast.protos.feast.types.Value_pb2 import Value

        count = len(next(iter(rows.values()), [None]))
        names = self._join_keys(view) or [DUMMY_ENTITY_ID]
        columns = {name: rows.get(name, [DUMMY_ENTITY_VAL] * count) for name in names}
        field = {str: "string_val", int: "int64_val"}
        return [
            EntityKey(
                join_keys=names,
                entity_values=[Value(**{field[type(column[row])]: column[row]}) for column in columns.values()],
            )
            for row in range(count)
        ]

    def _publish(
        self, store: "feast.FeatureStore", view: "FeatureView", version: int, start: datetime | None, end: datetime
    ) -> int:
        newest = self._newest(view, version, start, end)
        if len(newest):
            # Not write_to_online_store: it passes over rows in which all is null, so that what was known before would
            # stay, and drops the key of a view without entities.
            registered = store.registry.get_feature_view(view.name, store.project)
            key = {} if self._join_keys(view) else {DUMMY_ENTITY_ID: DUMMY_ENTITY_VAL}
            store._get_provider().ingest_df(registered, newest.assign(**key))
        return len(newest)

    def _newest(self, view: "FeatureView", version: int, start: datetime | None, end: datetime) -> "pd.DataFrame":
        """The newest row of each entity that became known in (start, end] and has not expired at `end`."""
        after = max(filter(None, [start, end - view.ttl - timedelta(seconds=1) if view.ttl else None]), default=None)
        files = DeltaTables(self._settings.tables_uri).files(_table(view), version)
        keys = self._join_keys(view)
        somebody = "".join(f" AND {key} IS NOT NULL" for key in keys)
        known = view.batch_source.timestamp_field
        query = f"""
            SELECT * FROM read_parquet($files)
            WHERE {known} <= $end AND ($after IS NULL OR {known} > $after){somebody}
            QUALIFY row_number() OVER (PARTITION BY {", ".join(keys) or "NULL"} ORDER BY {known} DESC) = 1
            ORDER BY {known}
        """
        frame: pd.DataFrame = self._duckdb.execute(query, {"files": files, "end": end, "after": after}).df()
        return frame

    def _clear(self, store: "feast.FeatureStore", views: "list[FeatureView]") -> None:
        entities = store.list_entities()
        provider = store._get_provider()
        for delete, keep in ((views, []), ([], views)):
            provider.update_infra(store.project, delete, keep, [], entities, partial=True)

    def _store(self, versions: Mapping[str, int]) -> "feast.FeatureStore":
        """A store whose offline reads are pinned to table versions; made once, for each takes a tenth of a second."""
        pins = repr(sorted(versions.items()))
        if pins not in self._stores:
            self._stores[pins] = self._open(versions)
        return self._stores[pins]

    def _open(self, versions: Mapping[str, int]) -> "feast.FeatureStore":
        from feast import FeatureStore
        from feast.repo_config import RepoConfig

        logging.getLogger("feast").setLevel(logging.ERROR)
        path = self._settings.feature_store
        text = string.Template(path.read_text(encoding="utf-8")).substitute(self._settings.environ())
        config = YAML(typ="safe").load(text)
        config["offline_store"]["versions"] = dict(versions)
        return FeatureStore(config=RepoConfig(**config, repo_path=path.parent))

    @cached_property
    def _duckdb(self) -> Any:
        return connect().con

    def _registered(self, service: str) -> "list[FeatureView]":
        """The views as they were applied: only those know the types of their keys."""
        if service not in self._applied:
            store = self._store({})
            names = [view.name for view in self._views(service)]
            self._applied[service] = [store.registry.get_feature_view(name, store.project) for name in names]
        return self._applied[service]

    @cached_property
    def _objects(self) -> dict[str, Any]:
        from feast import Entity, FeatureService, FeatureView

        module = load_module(self._settings.repo, self._dataset, "views")
        kinds = (Entity, FeatureView, FeatureService)
        return {f"{type(item).__name__}:{item.name}": item for item in vars(module).values() if isinstance(item, kinds)}

    def _service(self, name: str) -> "feast.FeatureService":
        services = {
            key.partition(":")[2]: item for key, item in self._objects.items() if key.startswith("FeatureService:")
        }
        if name not in services:
            raise FeatureError(f"feature service {name!r}" + did_you_mean(name, services))
        return services[name]

    def _key_types(self, service: str) -> dict[str, type]:
        """Join key → its type in Python: whole numbers, or text."""
        from feast.value_type import ValueType

        whole = {ValueType.INT32, ValueType.INT64}
        entities = [entity for view in self._views(service) for entity in self._entities(view)]
        return {entity.join_key: int if entity.value_type in whole else str for entity in entities}

    def _entities(self, view: "FeatureView") -> "list[feast.Entity]":
        """Of a view as its file declares it: the view itself knows its keys only once it has been applied."""
        return [self._objects[f"Entity:{name}"] for name in view.entities if f"Entity:{name}" in self._objects]

    def _join_keys(self, view: "FeatureView") -> list[str]:
        return sorted(entity.join_key for entity in self._entities(view))

    def _views(self, service: str) -> "list[FeatureView]":
        names = [projection.name for projection in self._service(service).feature_view_projections]
        return [self._objects[f"FeatureView:{name}"] for name in names]


def _in_utc(moment: datetime) -> datetime:
    """Feast's SQLite store answers with naive times, in UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _key(value: Any, kind: type) -> Any:
    plain = value.item() if isinstance(value, np.generic) else value
    return plain if type(plain) is kind else NOBODY[kind]


def _table(view: "FeatureView") -> str:
    path: str = view.batch_source.path
    return path
