"""Views of every kind of key and value, random rows of them, and the places where Feast itself publishes them."""

import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from fakeredis import TcpFakeServer
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource
from feast.repo_config import RepoConfig
from feast.types import Bool, Float32, Float64, Int32, Int64, String
from feast.value_type import ValueType

from fairlead.adapters.feast import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL, lookup_view
from fairlead.adapters.online import open_reader
from fairlead.adapters.online_memory import MemoryReader, MemoryView
from fairlead.adapters.redis_server import HOST, port_of, redis_server
from fairlead.features.lookup import LookupPlan
from fairlead.packaging.signature import Input
from fairlead.ports import OnlineReader
from fairlead.settings import laptop

NOON = datetime(2013, 10, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PROJECT = "contract"
KEYS = {
    "origin": (ValueType.STRING, ["EWR", "JFK", "", "Zürich", "a b"]),
    "dest": (ValueType.STRING, ["LAX", "SFO", "EWR"]),
    "gate": (ValueType.INT64, [7, -1, 0, 2**62]),
    "runway": (ValueType.INT32, [22, -4, 2**31 - 1]),
}
"""Join key → its type in Feast, and the entities that there may be."""
SKIES = ["clear", "fog", "", "große Wolke"]
VIEWS = {
    "weather": (["origin"], 3 * HOUR, {"wind": Float64, "gusts": Int64, "calm": Bool, "sky": String}),
    "history": (["origin"], timedelta(0), {"late": Float64, "rank": Int32}),
    "route": (["dest", "origin"], 48 * HOUR, {"delay": Float32, "flights": Float64}),
    "walk": (["gate"], 24 * HOUR, {"minutes": Float64}),
    "strip": (["runway"], 12 * HOUR, {"length": Int32, "surface": String}),
    "network": ([], 6 * HOUR, {"late_share": Float64, "state": String}),
}
"""View → join keys, TTL (none: 0), features."""
INPUTS = [
    Input(name="network__state", source="feature", kind="category", categories=["calm", "storm"]),
    Input(name="weather__sky", source="feature", kind="category", categories=SKIES[:3]),
    Input(name="route__delay", source="feature", kind="number"),
    Input(name="weather__wind", source="feature", kind="number"),
    Input(name="history__rank", source="feature", kind="number"),
    Input(name="weather__calm", source="feature", kind="number"),
    Input(name="strip__length", source="feature", kind="number"),
    Input(name="walk__minutes", source="feature", kind="number"),
    Input(name="weather__gusts", source="feature", kind="number"),
    Input(name="strip__surface", source="feature", kind="category", categories=["wet", "dry"]),
    Input(name="network__late_share", source="feature", kind="number"),
    Input(name="history__late", source="feature", kind="number"),
]
"""Not in the order of the views, and without `route__flights`."""


def rows(seed: int) -> list[MemoryView]:
    """Random rows, one for an entity: nulls, numbers of all sizes, times around the TTLs."""
    draw = random.Random(seed)
    values = {
        Float64: lambda: draw.choice([0.0, -1.5, 1e-40, 3.4e38, draw.gauss(0, 1e6)]),
        Float32: lambda: draw.choice([0.0, 0.1, -7.25]),
        Int64: lambda: draw.choice([0, -1, 2**24 + 1, 2**62 + 1, -(2**63)]),
        Int32: lambda: draw.choice([0, -1, 2**31 - 1]),
        Bool: lambda: draw.random() < 0.5,
        String: lambda: draw.choice([*SKIES, "calm", "storm", "wet", "dry"]),
    }
    views = []
    for name, (keys, ttl, features) in VIEWS.items():
        entities: list[dict[str, Any]] = [{}]
        for key in keys:
            entities = [entity | {key: item} for entity in entities for item in KEYS[key][1]]
        kept = [entity for entity in entities if not entity or draw.random() < 0.8]
        made = [
            {
                **entity,
                "known_at": NOON - draw.choice([ttl, ttl + HOUR, ttl / 2, ttl + timedelta(seconds=1)]),
                **{f: None if draw.random() < 0.2 else values[kind]() for f, kind in features.items()},
            }
            for entity in kept
        ]
        views.append(MemoryView(name, keys, list(features), made, ttl or None))
    return views


def ask(count: int, seed: int) -> dict[str, list[Any]]:
    """Keys of random entities, some of which do not exist."""
    draw = random.Random(seed)
    return {
        name: [draw.choice([*known, "nowhere" if kind is ValueType.STRING else 99]) for _ in range(count)]
        for name, (kind, known) in KEYS.items()
    }


@dataclass(frozen=True)
class Place:
    """Where Feast has published the views, or a memory in its stead."""

    folder: Path
    views: Sequence[MemoryView]
    online: Mapping[str, Any] | None
    """Feast's `online_store`; None: memory."""

    @property
    def feast(self) -> FeatureStore:
        """Feast itself, on this place."""
        assert self.online is not None
        config = RepoConfig(
            project=PROJECT,
            provider="local",
            registry=str(self.folder / "registry.db"),
            online_store=dict(self.online),
            entity_key_serialization_version=3,
        )
        return FeatureStore(config=config)

    def plan(self) -> LookupPlan:
        """What Feast's registry says."""
        views = [self.feast.registry.get_feature_view(name, PROJECT) for name in VIEWS]
        found = tuple(lookup_view(view) for view in views)
        return LookupPlan(project=PROJECT, entity_key_serialization_version=3, views=found)

    def reader(self, inputs: Sequence[Input] = INPUTS, cache_seconds: float = 0, **changed: Any) -> OnlineReader:
        """A reader as a server opens it.

        Args:
            inputs: what it reads.
            cache_seconds: its cache's.
            changed: keys of the `online_store` that are others than Feast's.
        """
        if self.online is None:
            return MemoryReader(self.views, inputs)
        settings = laptop(self.folder, self.folder).model_copy(update={"feature_store": self.folder / "store.yaml"})
        online = "".join(f"\n  {key}: {item}" for key, item in {**self.online, **changed}.items())
        settings.feature_store.write_text(f"project: {PROJECT}\nonline_store:{online}\n")
        return open_reader(settings, self.plan(), inputs, cache_seconds)

    def publish(self) -> None:
        """Let Feast register the views and write their rows."""
        if self.online is None:
            return
        entities = {name: Entity(name=name, join_keys=[name], value_type=kind) for name, (kind, _) in KEYS.items()}
        views = [_view(name, [entities[key] for key in keys]) for name, (keys, _, _) in VIEWS.items()]
        store = self.feast
        store.apply([*entities.values(), *views, FeatureService(name="all", features=views)])
        for view in self.views:
            frame = pd.DataFrame(view.rows).astype(dict.fromkeys(view.features, object))
            dummy = {} if view.entities else {DUMMY_ENTITY_ID: DUMMY_ENTITY_VAL}
            store._get_provider().ingest_df(store.registry.get_feature_view(view.name, PROJECT), frame.assign(**dummy))


def _view(name: str, entities: list[Entity]) -> FeatureView:
    _, ttl, features = VIEWS[name]
    source = FileSource(name=name, path=f"{name}.parquet", timestamp_field="known_at")
    schema = [Field(name=feature, dtype=kind) for feature, kind in features.items()]
    return FeatureView(name=name, entities=entities, ttl=ttl, schema=schema, source=source)


@contextmanager
def place(kind: str, folder: Path, seed: int = 1) -> Iterator[Place]:
    """A published place on memory, sqlite, fakeredis or redis."""
    folder.mkdir(exist_ok=True)
    with _online(kind, folder) as online:
        made = Place(folder, rows(seed), online)
        made.publish()
        yield made


@contextmanager
def _online(kind: str, folder: Path) -> Iterator[Mapping[str, Any] | None]:
    if kind == "memory":
        yield None
    elif kind == "sqlite":
        yield {"type": "sqlite", "path": str(folder / "online.db")}
    elif kind == "fakeredis":
        with fake_redis() as address:
            yield {"type": "redis", "connection_string": address}
    else:
        with redis_server(folder) as process:
            yield {"type": "redis", "connection_string": f"{HOST}:{port_of(process)}"}


@contextmanager
def fake_redis() -> Iterator[str]:
    """Redis's protocol without its server; yields host and port."""
    server = TcpFakeServer((HOST, 0), server_type="redis")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"{HOST}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
