"""A home with one small model that looks features up: trips, their weather, and how late the network is."""

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fairlead.adapters.delta import DeltaTables
from fairlead.adapters.feast import FeastFeatures
from fairlead.adapters.mlflow import RegisteredVersion
from fairlead.adapters.online_memory import MemoryView
from fairlead.evaluation.evaluate import evaluate
from fairlead.features.statistics import describe_columns, describe_periods
from fairlead.lineage.record import Plan, RunRecord
from fairlead.packaging.bundle import load_bundle, release_bundle
from fairlead.scoring.plan import BatchPlan
from fairlead.scoring.request import Request, plan_batch
from fairlead.settings import Settings, laptop
from fairlead.tables.ingest import IngestedTable
from fairlead.tables.quality import QualityReport
from fairlead.training.splits import Periods
from tests.contracts import feast_example
from tests.unit import training_example

NOON = datetime(2024, 3, 15, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CLEAN = "trips/clean/trips"


def views(seed: int = 5) -> list[MemoryView]:
    """Three days of hourly rows, with gaps longer than the TTLs."""
    rng = np.random.default_rng(seed)
    hours = [NOON - hour * HOUR for hour in range(72)]
    wind = [
        {"known_at": hour, "origin": origin, "wind_mph": float(rng.gamma(2, 5))}
        for hour in hours
        for origin in ("EWR", "JFK")
        if rng.random() < 0.4
    ]
    late = [{"known_at": hour, "late_share": float(rng.random())} for hour in hours if rng.random() < 0.5]
    return [
        MemoryView("weather", ["origin"], ["wind_mph"], wind, 3 * HOUR),
        MemoryView("network", [], ["late_share"], late, 2 * HOUR),
    ]


@dataclass
class Home:
    """Where it all is."""

    settings: Settings
    trained: Plan
    record: RunRecord
    packaged: Path
    version: RegisteredVersion = field(
        default_factory=lambda: RegisteredVersion("trip-delay", "1", "accepted", [], ["champion"], "run", 0)
    )

    @property
    def tables(self) -> DeltaTables:
        return DeltaTables(self.settings.tables_uri)

    @property
    def bundle(self) -> Path:
        return Path(self.settings.bundles_uri, "trip-delay", "1")

    def plan(self, source: str | Path | None = None, **more: Any) -> BatchPlan:
        request = Request(source=None if source is None else str(source), **more)
        return plan_batch(request, self.version, self.trained, self.settings)

    def predictions(self, name: str, version: int) -> pa.Table:
        return pq.ParquetDataset(self.tables.files(name, version)).read().sort_by("row")


def make(folder: Path) -> Home:
    """A repository, feature tables, a clean table and a released bundle; nothing is online."""
    feast_example.open_store(folder, views(), {"trip_v1": ["weather", "network"]})
    settings = laptop(folder / "home", folder / "repo")
    spec = training_example.model()
    data = replace(training_example.training_set(), lookup=FeastFeatures(settings, "trips").plan("trip_v1"))
    training, parity = training_example.packaged(folder / "packaged", data)
    release_bundle(folder / "packaged", Path(settings.bundles_uri, "trip-delay", "1"), "1")
    plan = Plan(
        dataset=training_example.dataset(),
        model=spec,
        sources={"trips": "ab" * 32},
        as_of=training_example.AS_OF.isoformat(),
        code_version="src-0",
        champion="",
    )
    record = RunRecord(
        plan=plan,
        git_commit="0" * 40,
        lock="lock-0",
        fairlead_version="0",
        tables=[_ingested()],
        quality=QualityReport(dataset="trips", as_of=training_example.AS_OF, results=()),
        versions={CLEAN: 0},
        periods=describe_periods(data, Periods.before(training_example.AS_OF, spec.split, "UTC")),
        columns=describe_columns(data, training.signature),
        training=training,
        parity=parity,
        evaluation=evaluate(spec, folder / "packaged", training, parity, data, None),
        bundle=load_bundle(folder / "packaged"),
    )
    home = Home(settings, plan, record, folder / "packaged")
    home.tables.write(CLEAN, trips(), key="clean", notes={})
    return home


def rows(count: int, seed: int = 1) -> pd.DataFrame:
    """What callers send: with holes, and with carriers and airports that training did not see."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "id": np.arange(count),
            "carrier": rng.choice(np.array(["AA", "DL", "UA", "ZZ", "", None], dtype=object), count),
            "hour": np.where(rng.random(count) < 0.1, np.nan, rng.integers(0, 24, count)),
            "origin": rng.choice(np.array(["EWR", "JFK", "XXX", None], dtype=object), count),
        }
    )


def asked(count: int, seed: int = 1) -> pd.DataFrame:
    """Rows that say when they are asked about, within the three days."""
    rng = np.random.default_rng(seed)
    moments = pd.to_datetime(NOON) - pd.to_timedelta(rng.integers(0, 3 * 86_400, count), "s")
    return rows(count, seed).assign(asked_at=moments)


def trips() -> pa.Table:
    """The clean table: a trip an hour for three days."""
    frame = rows(72).assign(hour=lambda it: it.hour.fillna(0).astype("int64"))
    left = pd.to_datetime(NOON) - pd.to_timedelta(np.arange(72), "h")
    frame = frame.assign(left_at=left, arrived_at=left + HOUR, late=False)
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    instant = pa.timestamp("us", "UTC")
    return table.cast(
        pa.schema([item.with_type(instant) if pa.types.is_timestamp(item.type) else item for item in table.schema])
    )


def write(frame: pd.DataFrame, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path, index=False, coerce_timestamps="us")
    return path


def days(first: date, last: date) -> dict[str, date]:
    return {"start": first, "end": last}


def _ingested() -> IngestedTable:
    return IngestedTable(
        name="trips",
        source="file:///trips.csv",
        sha256="ab" * 32,
        rows=480,
        columns=4,
        version=0,
        ingested_at="2024-03-21",
        code_version="src-0",
        reused=False,
    )
