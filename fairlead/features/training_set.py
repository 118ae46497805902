"""Point-in-time training sets: each row sees what was known when it was asked about, and nothing later."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.errors import TrainingError
from fairlead.features.lookup import LookupPlan
from fairlead.ports import FeatureStore, TableStore
from fairlead.spec import DatasetSpec, ModelSpec
from fairlead.tables.engine import connect, open_tables
from fairlead.training.splits import Periods

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

log = logging.getLogger(__name__)

ROW_ID = "row_id"
ASKED_AT = "event_timestamp"
"""Feast's name for the time of an entity row."""
LABEL = "label"
LABEL_KNOWN_AT = "label_known_at"
SPLIT = "split"
ROWS_FILE = "rows.parquet"
META_FILE = "training_set.json"


@dataclass(frozen=True)
class TrainingSet:
    """Labelled rows of the three periods, with all their features."""

    rows: "pd.DataFrame"
    """Column `split` says train, validation or test; features are named `<view>__<feature>`."""
    entities: list[str]
    """Keys by which the features were looked up."""
    features: list[str]
    """The looked-up columns, in the order of the service."""
    timezone: str = "UTC"
    """In which days begin."""
    lookup: LookupPlan | None = None
    """How the features are read online."""

    def days(self, split: str) -> list[str]:
        """The day on which each row of a period was asked about."""
        return [str(day) for day in self.part(split)[ASKED_AT].dt.tz_convert(self.timezone).dt.date]

    def part(self, split: str) -> "pd.DataFrame":
        """The rows of one period, in the order of asking."""
        return self.rows[self.rows[SPLIT] == split].reset_index(drop=True)

    def save(self, folder: Path) -> None:
        """Write into a new folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.rows.to_parquet(folder / ROWS_FILE, index=False)
        lookup = self.lookup and self.lookup.model_dump(mode="json")
        meta = {"entities": self.entities, "features": self.features, "timezone": self.timezone, "lookup": lookup}
        (folder / META_FILE).write_text(json.dumps(meta), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "TrainingSet":
        """Read what `save` wrote."""
        import pandas as pd

        meta = json.loads((folder / META_FILE).read_text(encoding="utf-8"))
        lookup = meta.pop("lookup")
        plan = lookup and LookupPlan.model_validate(lookup)
        return cls(pd.read_parquet(folder / ROWS_FILE), lookup=plan, **meta)


def rows_asked_between(
    model: ModelSpec,
    dataset: DatasetSpec,
    clean: Mapping[str, int],
    store: TableStore,
    keys: list[str],
    start: datetime,
    end: datetime,
) -> "pd.DataFrame":
    """The rows a model is asked about in [start, end), without looked-up features, in the order of asking.

    Columns: `row_id`, `event_timestamp`, `label` (nullable), `label_known_at`, the request columns, the entity keys and
    the columns of the slices.
    """
    rows = asked_rows(connect(), model, dataset, clean[model.rows.table], store, keys, start, end)
    frame: pd.DataFrame = rows.to_pandas()
    return frame


def asked_rows(
    connection: Any,
    model: ModelSpec,
    dataset: DatasetSpec,
    version: int,
    store: TableStore,
    keys: Sequence[str],
    start: datetime,
    end: datetime,
) -> "ir.Table":
    """`rows_asked_between` as an expression, for those whom a frame would be too large."""
    import ibis

    name = model.rows.table
    source = open_tables(connection, store, {f"{dataset.name}/clean/{name}": version})[name]
    asked_at = source[model.rows.ask_column] + ibis.interval(seconds=int(model.rows.ask_offset.total_seconds()))
    wanted = [*model.request, *keys, *(model.gates.slices.by if model.gates.slices else [])]
    rows = source.select(
        *dict.fromkeys(wanted),
        **{
            ROW_ID: ibis.literal("-").join([source[key].cast("string") for key in dataset.tables[name].primary_key]),
            ASKED_AT: asked_at,
            LABEL: source[model.label.column].cast("int64"),
            LABEL_KNOWN_AT: source[model.label.known_at],
        },
    )
    rows = rows.filter(rows[ASKED_AT] >= ibis.literal(start), rows[ASKED_AT] < ibis.literal(end))
    return rows.order_by([ASKED_AT, ROW_ID])


def build_training_set(
    model: ModelSpec,
    dataset: DatasetSpec,
    clean: Mapping[str, int],
    feature_tables: Mapping[str, int],
    store: TableStore,
    features: FeatureStore,
    as_of: datetime,
) -> TrainingSet:
    """Labelled rows of the three periods with all their features.

    A row belongs to a period if it was asked in it and its label was known by its end: what a period learns was known
    when the next one begins. Rows without a label (cancelled flights) are left out.

    Raises:
        TrainingError: a period has no rows, or only one class.
    """
    periods = Periods.before(as_of, model.split, dataset.timezone)
    service = features.describe(model.features)
    rows = rows_asked_between(model, dataset, clean, store, service.entities, periods.start, periods.end)
    rows[SPLIT] = periods.assign(rows[ASKED_AT], rows[LABEL_KNOWN_AT])
    rows = rows[rows[SPLIT].notna() & rows[LABEL].notna()].reset_index(drop=True)
    for split in ("train", "validation", "test"):
        labels = rows.loc[rows[SPLIT] == split, LABEL]
        if labels.nunique() < 2:
            raise TrainingError(
                f"the {split} period {periods.describe(split)} must hold rows of both classes, "
                f"but holds {len(labels)} rows, {int(labels.sum())} of them positive"
            )
    log.info("joining %s rows with %d features", f"{len(rows):,}", len(service.features))
    joined = features.historical(model.features, rows, feature_tables)
    log.info("%s rows × %d features", f"{len(joined):,}", len(service.features))
    plan = features.plan(model.features)
    return TrainingSet(joined, service.entities, service.features, dataset.timezone, plan)
