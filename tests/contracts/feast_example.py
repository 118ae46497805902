"""A Feast repository in a folder, declared with the plain values that the store in memory takes."""

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import SecretStr

from fairlead.adapters.delta import DeltaTables
from fairlead.adapters.feast import FeastFeatures
from fairlead.adapters.online import open_reader
from fairlead.adapters.online_memory import MemoryView
from fairlead.packaging.signature import Input
from fairlead.settings import Settings, laptop
from tests.s3_server import BUCKET

REPO = Path(__file__).parents[2]
DATASET = "trips"
SKIES = ["clear", "fog"]
SECONDS = 30.0
"""More than any read takes."""
TYPES = {float: pa.float64(), str: pa.string(), int: pa.int64()}
FEAST_TYPES = {pa.float64(): "Float64", pa.string(): "String", pa.int64(): "Int64"}
IMPORTS = """
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.data_format import DeltaFormat
from feast.types import Float64, Int64, String
"""


class PublishedFeatures(FeastFeatures):
    """Features as they are published, and read with what a server reads them with."""

    def __init__(self, folder: Path) -> None:
        self._kept = settings(folder)
        super().__init__(self._kept, DATASET)

    def online(self, service: str, keys: Mapping[str, Sequence[Any]], asked_at: datetime) -> dict[str, list[Any]]:
        """`<view>__<feature>` → one value a row: text, or a number in FP32; None where there is none."""
        inputs = [_input(name) for name in self.describe(service).features]
        values = open_reader(self._kept, self.plan(service), inputs).read(keys, asked_at, SECONDS).values
        return {item.name: _plain(item, values[:, index].tolist()) for index, item in enumerate(inputs)}


def _input(name: str) -> Input:
    kind = "category" if name.endswith("__sky") else "number"
    return Input(name=name, source="feature", kind=kind, categories=SKIES if kind == "category" else [])


def _plain(item: Input, values: list[float]) -> list[Any]:
    if item.kind == "category":
        return [None if value < 0 else item.categories[int(value)] for value in values]
    return [None if math.isnan(value) else value for value in values]


def settings(folder: Path) -> Settings:
    """A laptop's; where the environment names a Redis those of a cluster, with S3."""
    here, online_store = laptop(folder / "home", folder / "repo"), os.environ.get("FAIRLEAD_ONLINE_STORE")
    if not online_store:
        return here
    root = f"s3://{BUCKET}{folder}".replace(" ", "-")
    cluster = {
        "tables_uri": f"{root}/tables",
        "feast_uri": f"{root}/feast",
        "feature_store": here.repo / "feature_repo" / "envs" / "cluster" / "feature_store.yaml",
        "online_store": SecretStr(online_store),
    }
    return here.model_copy(update=cluster)


def open_store(folder: Path, views: Sequence[MemoryView], services: Mapping[str, Sequence[str]]) -> PublishedFeatures:
    """Write the repository and its tables, and register it; nothing is online yet."""
    repo = folder / "repo"
    (repo / "feature_repo" / DATASET).mkdir(parents=True)
    shutil.copytree(REPO / "feature_repo" / "envs", repo / "feature_repo" / "envs")
    (repo / "feature_repo" / DATASET / "views.py").write_text(declare(views, services))
    for view in views:
        write(folder, view)
    (folder / "home" / "feast").mkdir(parents=True)
    store = reopen(folder)
    store.apply()
    return store


def reopen(folder: Path) -> PublishedFeatures:
    """The same store, as another process sees it."""
    return PublishedFeatures(folder)


def write(folder: Path, view: MemoryView) -> int:
    """Make the rows of a view the newest version of its table."""
    tables = DeltaTables(settings(folder).tables_uri)
    rows = pa.Table.from_pylist(list(view.rows), schema=schema(view))
    return tables.write(table(view.name), rows, key=str(view.rows), notes={})


def versions(views: Sequence[MemoryView]) -> dict[str, int]:
    """Every table at its first version."""
    return {table(view.name): 0 for view in views}


def table(view: str) -> str:
    return f"{DATASET}/features/{view}"


def schema(view: MemoryView) -> pa.Schema:
    columns = {name: kind_of(view, name) for name in (*view.entities, *view.features)}
    return pa.schema({"known_at": pa.timestamp("us", "UTC"), **columns})


def kind_of(view: MemoryView, column: str) -> pa.DataType:
    return TYPES[type(next(row[column] for row in view.rows if row[column] is not None))]


def declare(views: Sequence[MemoryView], services: Mapping[str, Sequence[str]]) -> str:
    """The text of views.py."""
    entities: dict[str, Any] = {name: kind_of(view, name) for view in views for name in view.entities}
    lines = [
        f"{name} = Entity(name={name!r}, join_keys=[{name!r}], value_type=ValueType.{FEAST_TYPES[kind].upper()})"
        for name, kind in entities.items()
    ]
    for view in views:
        fields = [f"Field(name={name!r}, dtype={FEAST_TYPES[kind_of(view, name)]})" for name in view.features]
        age = view.ttl.total_seconds() if view.ttl else 0
        lines.append(
            f"{view.name} = FeatureView(name={view.name!r}, entities=[{', '.join(view.entities)}], "
            f"ttl=timedelta(seconds={age}), schema=[{', '.join(fields)}], source=FileSource(name={view.name!r}, "
            f"path={table(view.name)!r}, file_format=DeltaFormat(), timestamp_field='known_at'))"
        )
    for name, members in services.items():
        lines.append(f"{name} = FeatureService(name={name!r}, features=[{', '.join(members)}])")
    return IMPORTS + "\n".join(lines) + "\n"
