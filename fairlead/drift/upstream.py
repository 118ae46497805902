"""What feeds a model: the quality gate, how fresh its feature tables are, and what look-ups do not find."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from fairlead import metrics
from fairlead.adapters.s3 import in_s3
from fairlead.drift.watch import VersionReport
from fairlead.features.lookup import LookupPlan
from fairlead.monitors.results import Result
from fairlead.ports import TableStore

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

Cause = Literal["quality", "freshness", "missing", "clock"]
KNOWN_AT = "known_at"
SKEW = timedelta(minutes=1)
MOST_SKEWED = 0.05
"""Share of a window's rows whose time lies after the collector's own."""


class Upstream(BaseModel):
    """What was found, cause by cause."""

    model_config = ConfigDict(frozen=True)

    causes: dict[Cause, str]
    """Cause → what is wrong; those that are as they should be are not there."""
    ages: dict[str, float | None]
    """View → seconds since its newest row; None: it has none."""


def look_upstream(
    *,
    dataset: str,
    plan: LookupPlan | None,
    tables: TableStore,
    gate: Result | None,
    reports: Sequence[VersionReport],
    newest: "pa.Table",
    max_age: timedelta | None,
    margin: float,
    as_of: datetime,
) -> Upstream:
    """Look at everything before the model.

    Args:
        dataset: whose feature tables.
        plan: which views the model looks up.
        tables: where they lie.
        gate: the newest result of the dataset's quality gate.
        reports: of the model's versions.
        newest: records of the newest window.
        max_age: of a view's newest row; None: its TTL.
        margin: by how much missing shares may exceed the reference's.
        as_of: now.
    """
    ages = {view.name: _age(tables, dataset, view.name, as_of) for view in (plan.views if plan else ())}
    limits = {view.name: max_age or _ttl(view.ttl_seconds) for view in (plan.views if plan else ())}
    causes: dict[Cause, str] = {}
    stale = [name for name, age in ages.items() if _is_stale(age, limits[name])]
    if stale:
        causes["freshness"] = ", ".join(f"{name} {_told(ages[name])}" for name in stale)
    broken = _broken(gate)
    if broken:
        causes["quality"] = broken
    gone = _gone(reports, margin)
    if gone:
        causes["missing"] = ", ".join(f"{name} in {share:.0%} of the rows" for name, share in gone.items())
    skewed = _skewed(newest)
    if skewed > MOST_SKEWED:
        causes["clock"] = f"{skewed:.0%} of the newest rows are of later than when they came"
    return Upstream(causes=causes, ages=ages)


def _ttl(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _is_stale(age: float | None, limit: timedelta | None) -> bool:
    return age is None or (limit is not None and age > limit.total_seconds())


def _told(age: float | None) -> str:
    return "has no rows" if age is None else f"is {timedelta(seconds=round(age))} old"


def _broken(gate: Result | None) -> str | None:
    if gate is None:
        return None
    if gate.failure is not None:
        return f"the gate failed: {gate.failure.message}"
    values = gate.metrics.get(metrics.UPSTREAM_BREACHES.name, ())
    critical = sum(value.value for value in values if value.labels["severity"] == "critical")
    return f"{critical:.0f} critical rules are broken" if critical else None


def _gone(reports: Sequence[VersionReport], margin: float) -> Mapping[str, float]:
    return {
        name: share
        for report in reports
        for name, share in report.missing.items()
        if share > report.missing_before.get(name, 0.0) + margin
    }


def _skewed(rows: "pa.Table") -> float:
    if not len(rows):
        return 0.0
    later = [
        time - received > SKEW
        for time, received in zip(rows.column("time").to_pylist(), rows.column("received_at").to_pylist(), strict=True)
    ]
    return float(sum(later) / len(later))


def _age(tables: TableStore, dataset: str, view: str, as_of: datetime) -> float | None:
    name = f"{dataset}/features/{view}"
    version = tables.newest(name)
    newest = None if version is None else _newest(tables.files(name, version))
    return None if newest is None else (as_of - newest).total_seconds()


def _newest(files: Sequence[str]) -> datetime | None:
    """From the statistics of the files: no row is read."""
    found = [moment for file in files if (moment := _newest_of_file(_open(file))) is not None]
    return max(found, default=None)


def _newest_of_file(file: "pq.ParquetFile") -> datetime | None:
    index = file.schema_arrow.get_field_index(KNOWN_AT)
    groups = [file.metadata.row_group(number).column(index) for number in range(file.num_row_groups)]
    values = [group.statistics.max for group in groups if group.statistics is not None and group.statistics.has_min_max]
    return max((_utc(value) for value in values), default=None)


def _utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _open(file: str) -> "pq.ParquetFile":
    import pyarrow.parquet as pq

    from fairlead.adapters import s3_arrow

    if in_s3(file):
        return pq.ParquetFile(s3_arrow.path(file), filesystem=s3_arrow.filesystem())
    return pq.ParquetFile(file)
