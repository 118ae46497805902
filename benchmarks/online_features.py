"""Online lookup of a model's features: our readers beside raw Redis and Feast itself, on the same data.

Starts a redis-server of its own (Debian: `apt-get install redis-server`). Rounds alternate between all that is
measured, because the machine is shared. "raw" is redis-py's own pipeline of one HMGET for each hash, keys and fields
made beforehand and nothing decoded; it names an entity's hash once for all its views, as ours does. "raw, by view" asks
for each view on its own, as Feast would. The goal is raw time / ours >= 0.5.
"""

import argparse
import json
import logging
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import redis
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource
from feast.repo_config import RepoConfig
from feast.types import Float64
from feast.value_type import ValueType

from fairlead.adapters.feast import lookup_view
from fairlead.adapters.feast_layout import field, time_field
from fairlead.adapters.online_cache import CachedRows
from fairlead.adapters.online_redis import RedisRows
from fairlead.adapters.online_rows import KeyGroup, RowsReader, group_views
from fairlead.adapters.online_sqlite import SqliteRows
from fairlead.adapters.redis_server import HOST, port_of, redis_server
from fairlead.features.lookup import LookupPlan
from fairlead.packaging.signature import Input

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ENTITIES = 500
VIEWS = {"orders": "customer", "visits": "customer", "prices": "product"}
FEATURES = [f"f{number}" for number in range(10)]
PROJECT = "benchmark"
GOAL = 0.5
WARM_UP = 5
"""Rounds that connect and fill caches, and do not count."""


def main() -> None:
    """Print medians; with --json write them too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    logging.getLogger("feast").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder)) as server:
        result = {str(rows): measure(Path(folder), port_of(server), rows, options.rounds) for rows in (1, 10, 100)}
    print(f"{len(VIEWS)} views of {len(FEATURES)} numbers, {options.rounds} rounds; ms: median (quartiles)")
    for rows, found in result.items():
        print(f"\n{rows} rows")
        for name, times in found.items():
            low, middle, high = statistics.quantiles(times, n=4)
            ratio = statistics.median(found["raw"]) / middle
            print(f"  {name:<20} {middle:8.3f} ({low:.3f}-{high:.3f})   raw time / this: {ratio:.2f}")
        ratio = statistics.median(found["raw"]) / statistics.median(found["ours, redis"])
        print(f"  {'goal met' if ratio >= GOAL else 'goal missed'}: raw time / ours is {ratio:.2f}, goal {GOAL}")
    if options.json:
        medians = {rows: {name: statistics.median(times) for name, times in of.items()} for rows, of in result.items()}
        options.json.write_text(json.dumps(medians, indent=2), encoding="utf-8")


def measure(folder: Path, port: int, rows: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each round, by what was measured; entities change from round to round."""
    stores = {kind: publish(folder / f"{kind}-{rows}", kind, port) for kind in ("redis", "sqlite")}
    groups = plan(stores["redis"])
    of_redis = RedisRows(groups, PROJECT, {"host": HOST, "port": port})
    readers = {
        "ours, redis": RowsReader(groups, of_redis),
        "ours, redis, cached": RowsReader(groups, CachedRows(of_redis, groups, seconds=3600)),
        "ours, sqlite": RowsReader(groups, SqliteRows(groups, PROJECT, folder / f"sqlite-{rows}" / "online.db")),
    }
    client, draw = redis.Redis(HOST, port), random.Random(rows)
    found: dict[str, list[float]] = {}
    for number in range(WARM_UP + rounds):
        keys = {key: [f"{key}-{draw.randrange(ENTITIES)}" for _ in range(rows)] for key in ("customer", "product")}
        calls = {
            "raw": raw(client, groups, keys, merged=True),
            "raw, by view": raw(client, groups, keys, merged=False),
            **{name: partial(reader.read, keys, NOW, 10) for name, reader in readers.items()},
            **{f"Feast, {kind}": partial(ask, store, keys) for kind, store in stores.items()},
        }
        for name in draw.sample(list(calls), len(calls)):
            start = time.perf_counter()
            calls[name]()
            if number >= WARM_UP:
                found.setdefault(name, []).append((time.perf_counter() - start) * 1000)
    return {name: found[name] for name in calls}


def publish(folder: Path, kind: str, port: int) -> FeatureStore:
    """Let Feast write all entities of all views into its own store."""
    folder.mkdir()
    online = {"type": "redis", "connection_string": f"{HOST}:{port}"}
    if kind == "sqlite":
        online = {"type": "sqlite", "path": str(folder / "online.db")}
    config = RepoConfig(
        project=PROJECT,
        provider="local",
        registry=str(folder / "registry.db"),
        online_store=online,
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    entities = {name: Entity(name=name, value_type=ValueType.STRING) for name in set(VIEWS.values())}
    views = [view(name, entities[key]) for name, key in VIEWS.items()]
    store.apply([*entities.values(), *views, FeatureService(name="service", features=views)])
    draw = random.Random(1)
    for name, key in VIEWS.items():
        rows = [
            {key: f"{key}-{number}", "at": NOW} | {f: draw.random() for f in FEATURES} for number in range(ENTITIES)
        ]
        store.write_to_online_store(name, pd.DataFrame(rows))
    return store


def view(name: str, entity: Entity) -> FeatureView:
    """A view of all features."""
    source = FileSource(name=name, path=f"{name}.parquet", timestamp_field="at")
    schema = [Field(name=feature, dtype=Float64) for feature in FEATURES]
    return FeatureView(name=name, entities=[entity], ttl=timedelta(days=1), schema=schema, source=source)


def plan(store: FeatureStore) -> list[KeyGroup]:
    """What our readers fetch."""
    views = tuple(lookup_view(store.registry.get_feature_view(name, PROJECT)) for name in VIEWS)
    inputs = [Input(name=f"{view.name}__{f}", source="feature", kind="number") for view in views for f in view.features]
    return group_views(LookupPlan(project=PROJECT, entity_key_serialization_version=3, views=views), inputs)


def raw(client: redis.Redis, groups: list[KeyGroup], keys: dict[str, list[str]], merged: bool) -> Callable[[], Any]:
    """One pipeline of HMGET; all that it sends is made beforehand."""
    commands = []
    for group in groups:
        hashes = [key + PROJECT.encode() for key in group.encoder.encode(keys, len(keys["customer"])) if key]
        fields = {
            view.name: [field(view.name, f) for f in view.features] + [time_field(view.name)] for view in group.views
        }
        wanted = [[name for names in fields.values() for name in names]] if merged else list(fields.values())
        commands += [(key, names) for names in wanted for key in dict.fromkeys(hashes)]

    def call() -> Any:
        with client.pipeline(transaction=False) as pipe:
            for key, names in commands:
                pipe.hmget(key, names)
            return pipe.execute()

    return call


def ask(store: FeatureStore, keys: dict[str, list[str]]) -> Any:
    """What Feast's users call."""
    service = [f"{name}:{feature}" for name in VIEWS for feature in FEATURES]
    rows = [dict(zip(keys, values, strict=True)) for values in zip(*keys.values(), strict=True)]
    return store.get_online_features(service, rows, full_feature_names=True)


if __name__ == "__main__":
    main()
