"""Feature views and services on Feast."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

from fairlead.adapters.delta import DeltaTables
from fairlead.adapters.feast_import import import_feast
from fairlead.adapters.feature_store_yaml import read_feature_store
from fairlead.errors import FeatureError
from fairlead.features.definitions import load_module
from fairlead.features.lookup import JoinKey, KeyKind, LookupPlan, LookupView
from fairlead.settings import Settings
from fairlead.spec.dataset import nearest
from fairlead.tables.engine import connect, open_files

if TYPE_CHECKING:
    import feast
    import pandas as pd
    from feast.feature_view import FeatureView

DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL = "__dummy_id", ""
"""Feast's key of a view without entities (feast.feature_view)."""

SERIALIZATION_VERSION: Literal[3] = 3
"""Of entity keys: the one that Feast still writes."""


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
            self._clear(store, self._registered(service))
        return sum(self._publish(store, view, versions[_table(view)], start, end) for view in views)

    def plan(self, service: str) -> LookupPlan:
        config = self._store({}).config
        if config.registry.enable_online_feature_view_versioning:
            raise FeatureError("registry.enable_online_feature_view_versioning must be false: versions move tables")
        if config.entity_key_serialization_version != SERIALIZATION_VERSION:
            found = config.entity_key_serialization_version
            raise FeatureError(f"entity_key_serialization_version must be {SERIALIZATION_VERSION}, but is {found}")
        return LookupPlan(
            project=config.project,
            entity_key_serialization_version=SERIALIZATION_VERSION,
            views=tuple(lookup_view(view) for view in self._registered(service)),
        )

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
        rows = open_files(self._engine, files, f"rows_of_{view.name}").get_name()
        query = f"""
            SELECT * FROM {rows}
            WHERE {known} <= $end AND ($after IS NULL OR {known} > $after){somebody}
            QUALIFY row_number() OVER (PARTITION BY {", ".join(keys) or "NULL"} ORDER BY {known} DESC) = 1
            ORDER BY {known}
        """
        frame: pd.DataFrame = self._engine.con.execute(query, {"end": end, "after": after}).df()
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
        import_feast()
        from feast import FeatureStore
        from feast.repo_config import RepoConfig

        logging.getLogger("feast").setLevel(logging.ERROR)
        path, config = self._settings.feature_store, read_feature_store(self._settings)
        config["offline_store"]["versions"] = dict(versions)
        return FeatureStore(config=RepoConfig(**config, repo_path=path.parent))

    @cached_property
    def _engine(self) -> Any:
        return connect()

    def _registered(self, service: str) -> "list[FeatureView]":
        """The views as they were applied."""
        if service not in self._applied:
            store = self._store({})
            names = [view.name for view in self._views(service)]
            self._applied[service] = [store.registry.get_feature_view(name, store.project) for name in names]
        return self._applied[service]

    @cached_property
    def _objects(self) -> dict[str, Any]:
        import_feast()
        from feast import Entity, FeatureService, FeatureView

        module = load_module(self._settings.repo, self._dataset, "views")
        kinds = (Entity, FeatureView, FeatureService)
        return {f"{type(item).__name__}:{item.name}": item for item in vars(module).values() if isinstance(item, kinds)}

    def _service(self, name: str) -> "feast.FeatureService":
        services = {
            key.partition(":")[2]: item for key, item in self._objects.items() if key.startswith("FeatureService:")
        }
        if name not in services:
            raise FeatureError(f"there is no feature service {name!r}" + nearest(name, services))
        return services[name]

    def _entities(self, view: "FeatureView") -> "list[feast.Entity]":
        """Of a view as its file declares it: the view itself knows its keys only once it has been applied."""
        return [self._objects[f"Entity:{name}"] for name in view.entities if f"Entity:{name}" in self._objects]

    def _join_keys(self, view: "FeatureView") -> list[str]:
        return sorted(entity.join_key for entity in self._entities(view))

    def _views(self, service: str) -> "list[FeatureView]":
        names = [projection.name for projection in self._service(service).feature_view_projections]
        return [self._objects[f"FeatureView:{name}"] for name in names]


def lookup_view(view: "FeatureView") -> LookupView:
    """What reading a registered view online needs: only those know the types of their keys."""
    keys = {column.name: column.dtype.to_value_type().name for column in view.entity_columns}
    keys.pop(DUMMY_ENTITY_ID, None)
    unknown = next((name for name, kind in keys.items() if kind not in get_args(KeyKind)), None)
    if unknown is not None:
        kinds = ", ".join(get_args(KeyKind))
        raise FeatureError(f"entity key {unknown!r} of {view.name} must be {kinds}, but is {keys[unknown]}")
    return LookupView(
        name=view.name,
        keys=tuple(JoinKey.model_validate({"name": name, "kind": kind}) for name, kind in sorted(keys.items())),
        ttl_seconds=view.ttl.total_seconds() if view.ttl else None,
        features=tuple(field.name for field in view.features),
    )


def _table(view: "FeatureView") -> str:
    path: str = view.batch_source.path
    return path
