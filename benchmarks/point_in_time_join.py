"""Time one point-in-time join in Feast's duckdb store and in ours, in alternating rounds, and compare every value.

    python benchmarks/point_in_time_join.py --rows 200000 --days 30 --rounds 3 --json join.json

Three views of `--rows` feature rows each are joined to `--rows` entity rows, once with a TTL of two days on each view
and once without. A key has a row a day on average, so `--days` is also the length of its history: without a TTL that
is what Feast's time grows with.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
import warnings
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.data_format import ParquetFormat
from feast.types import Float64

STORES = {"feast": "duckdb", "fairlead": "fairlead.adapters.feast_asof.AsofDuckDBOfflineStore"}
TTLS = {"2-day TTL": timedelta(days=2), "no TTL": timedelta(0)}
VIEWS = ("delays", "weather", "load")
FEATURES = ("f0", "f1", "f2", "f3")
START = datetime(2024, 1, 1, tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000, help="entity rows, and rows of each view")
    parser.add_argument("--days", type=int, default=30, help="span of the history, and rows of a key")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="ibis")
    with tempfile.TemporaryDirectory() as folder:
        cases = measure(Path(folder), options.rows, options.days, options.rounds)
    sizes = {"rows": options.rows, "days": options.days, "rounds": options.rounds}
    if options.json:
        report = {**sizes, "environment": environment(), "cases": cases}
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    print(", ".join(f"{name} {value}" for name, value in (sizes | environment()).items()))


def measure(folder: Path, rows: int, days: int, rounds: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    for view in VIEWS:
        pq.write_table(feature_rows(rng, rows, days), folder / f"{view}.parquet")
    asked = entity_rows(rng, rows, days)
    cases = {}
    for case, ttl in TTLS.items():
        stores = {name: feature_store(folder / f"{name}, {case}", kind, folder, ttl) for name, kind in STORES.items()}
        seconds: dict[str, list[float]] = {name: [] for name in stores}
        for store in stores.values():
            join(store, asked.head(1))  # imports and caches
        for _ in range(rounds):
            answers = {}
            for name, store in stores.items():
                began = time.perf_counter()
                answers[name] = join(store, asked)
                seconds[name].append(time.perf_counter() - began)
            check_identical(answers)
        cases[case] = summary(case, seconds)
    return cases


def join(store: FeatureStore, asked: pd.DataFrame) -> pa.Table:
    features = [f"{view}:{feature}" for view in VIEWS for feature in FEATURES]
    return store.get_historical_features(asked, features, full_feature_names=True).to_arrow()


def check_identical(answers: dict[str, pa.Table]) -> None:
    feast, fairlead = (answers[name].sort_by("row") for name in STORES)
    if not feast.equals(fairlead):
        different = [name for name in feast.column_names if not feast[name].equals(fairlead[name])]
        raise SystemExit(f"the two stores disagree on {different}")


def summary(case: str, seconds: dict[str, list[float]]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, taken in seconds.items():
        figures[name] = {"median_s": statistics.median(taken), "min_s": min(taken), "max_s": max(taken), "all_s": taken}
        print(f"{case:10} {name:9} {figures[name]['median_s']:7.2f} s ({min(taken):.2f} to {max(taken):.2f})")
    ratios = [feast / fairlead for feast, fairlead in zip(*(seconds[name] for name in STORES), strict=True)]
    ratio = {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}
    print(f"{case:10} ours is {ratio['median']:.1f}x faster ({ratio['min']:.1f}x to {ratio['max']:.1f}x), same rows")
    return figures | {"ratio": ratio}


def moments(rng: np.random.Generator, rows: int, days: int) -> pa.Array:
    start, span = int(START.timestamp() * 1e6), timedelta(days=days) // timedelta(microseconds=1)
    return pa.array(start + rng.integers(0, span, rows), pa.timestamp("us", "UTC"))


def keys(rng: np.random.Generator, rows: int, days: int) -> np.ndarray:
    return rng.integers(0, max(rows // days, 1), rows)


def feature_rows(rng: np.random.Generator, rows: int, days: int) -> pa.Table:
    """Random rows in time order, as a daily append would leave them."""
    known_at = moments(rng, rows, days)
    values = {feature: rng.random(rows) for feature in FEATURES}
    table = pa.table({"plane": keys(rng, rows, days), "known_at": known_at, "created_at": known_at, **values})
    return table.sort_by("known_at")


def entity_rows(rng: np.random.Generator, rows: int, days: int) -> pd.DataFrame:
    asked_at = moments(rng, rows, days).to_pandas()
    return pd.DataFrame({"row": np.arange(rows), "plane": keys(rng, rows, days), "event_timestamp": asked_at})


def feature_store(home: Path, kind: str, tables: Path, ttl: timedelta) -> FeatureStore:
    home.mkdir()
    config = RepoConfig(
        project="join",
        provider="local",
        registry=str(home / "registry.db"),
        offline_store={"type": kind},
        online_store={"type": "sqlite", "path": str(home / "online.db")},
        entity_key_serialization_version=3,
        repo_path=home,
    )
    plane = Entity(name="plane", join_keys=["plane"], value_type=ValueType.INT64)
    store = FeatureStore(config=config)
    store.apply([plane, *(feature_view(view, plane, tables, ttl) for view in VIEWS)])
    return store


def feature_view(name: str, entity: Entity, tables: Path, ttl: timedelta) -> FeatureView:
    source = FileSource(
        name=name,
        path=str(tables / f"{name}.parquet"),
        file_format=ParquetFormat(),
        timestamp_field="known_at",
        created_timestamp_column="created_at",
    )
    schema = [Field(name=feature, dtype=Float64) for feature in FEATURES]
    return FeatureView(name=name, entities=[entity], ttl=ttl, schema=schema, source=source)


def environment() -> dict[str, Any]:
    packages = {name: version(name) for name in ("feast", "duckdb", "ibis-framework", "pyarrow", "pandas")}
    return {"python": platform.python_version(), "cpus": os.cpu_count(), **packages}


if __name__ == "__main__":
    main()
