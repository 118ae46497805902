"""All rows of a range of days with their features, joined once, and what was known of them at any instant."""

import os
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.adapters.delta import DeltaTables
from fairlead.adapters.feast import FeastFeatures
from fairlead.errors import TrainingError
from fairlead.features.build import build_features
from fairlead.features.definitions import load_module
from fairlead.features.lookup import LookupPlan
from fairlead.features.training_set import (
    ASKED_AT,
    LABEL,
    LABEL_KNOWN_AT,
    ROW_ID,
    SPLIT,
    TrainingSet,
    rows_asked_between,
)
from fairlead.lineage.code import code_version
from fairlead.lineage.digest import hash_json
from fairlead.settings import Settings
from fairlead.spec import DatasetSpec, ModelSpec
from fairlead.spec.dataset import did_you_mean
from fairlead.spec.model import SplitSpec
from fairlead.tables.clean import write_clean
from fairlead.tables.ingest import fingerprints, ingest
from fairlead.tables.prepare import prepare
from fairlead.training.splits import Periods, days_before, midnight

if TYPE_CHECKING:
    import pandas as pd

LANDED_DAYS = 2
"""After the last day, within which the labels of its rows arrive."""


@dataclass(frozen=True)
class Year:
    """Rows in the order of asking. Only `as_known` and `asked_on` look at them, and neither beyond its instant."""

    rows: "pd.DataFrame"
    """As `rows_asked_between` makes them, with the looked-up features."""
    entities: list[str]
    features: list[str]
    lookup: LookupPlan
    timezone: str

    def where(self, column: str, values: tuple[str, ...]) -> "Year":
        """The rows that hold one of some values.

        Raises:
            TrainingError: none does, or there is no such column.
        """
        if column not in self.rows:
            raise TrainingError(f"rows have no column {column!r}" + did_you_mean(column, list(self.rows.columns)))
        kept = self.rows[self.rows[column].isin(values)].reset_index(drop=True)
        if kept.empty:
            raise TrainingError(f"no row has {column} in {', '.join(values)}")
        return replace(self, rows=kept)

    def asked_on(self, day: date) -> "pd.DataFrame":
        """What the model is asked on a day: features as they were at each row's time of asking, and no label."""
        start = midnight(day, self.timezone)
        end = midnight(day + timedelta(days=1), self.timezone)
        moments = self.rows[ASKED_AT]
        asked = self.rows[(moments >= start) & (moments < end)]
        return asked.drop(columns=[LABEL, LABEL_KNOWN_AT]).reset_index(drop=True)

    def labels_by(self, at: datetime) -> "pd.DataFrame":
        """The labels that have arrived by an instant: `key`, `label`, `known_at`."""
        rows = self.rows.loc[self.rows[LABEL_KNOWN_AT] <= at, [ROW_ID, LABEL, LABEL_KNOWN_AT]]
        return rows.rename(columns={ROW_ID: "key", LABEL_KNOWN_AT: "known_at"})

    def new_labels(self, since: datetime, at: datetime) -> int:
        """Labels that became known in (since, at]."""
        known = self.rows[LABEL_KNOWN_AT]
        return int(((known > since) & (known <= at)).sum())

    def training_set(self, as_of: datetime, split: SplitSpec) -> TrainingSet:
        """What the pipeline would train on at an instant.

        Raises:
            TrainingError: a period has no rows of both classes.
        """
        periods = Periods.before(as_of, split, self.timezone)
        seen = self.rows[(self.rows[ASKED_AT] < as_of) & (self.rows[LABEL_KNOWN_AT] <= as_of)]
        rows = seen.assign(**{SPLIT: periods.assign(seen[ASKED_AT], seen[LABEL_KNOWN_AT])})
        rows = rows[rows[SPLIT].notna() & rows[LABEL].notna()].reset_index(drop=True)
        for name in ("train", "validation", "test"):
            if rows.loc[rows[SPLIT] == name, LABEL].nunique() < 2:
                raise TrainingError(f"the {name} period {periods.describe(name)} must hold rows of both classes")
        return TrainingSet(rows, self.entities, self.features, self.timezone, self.lookup)


def open_year(settings: Settings, home: Path, model: ModelSpec, dataset: DatasetSpec, first: date, last: date) -> Year:
    """Make the rows of the days from `first` to `last`, or read those that were made from the same sources and code.

    Tables, features and join are the platform's own. Feature rows carry the moment at which they became known, and the
    join gives each row what was known when it was asked about: so the tables of the last day hold those of every day.

    Args:
        settings: where tables and Feast's registry are.
        home: for the rows, once they are joined.
        model: of which the rows are.
        dataset: that they come from.
        first: the first day.
        last: the last day, included.
    """
    import pandas as pd

    sources, code = fingerprints(dataset), code_version(settings.repo)
    made_from = {
        "sources": sources,
        "code": code,
        "dataset": dataset.model_dump(mode="json"),
        "model": [model.features, model.request, model.rows.model_dump(), model.label.model_dump()],
        "days": [first.isoformat(), last.isoformat()],
    }
    path = home / "rows" / f"{hash_json(made_from)[:32]}.parquet"
    features = FeastFeatures(settings, dataset.name)
    Path(settings.feast_uri).mkdir(parents=True, exist_ok=True)
    features.apply()
    service = features.describe(model.features)
    if not path.exists():
        rows = _join(settings, features, model, dataset, sources, code, first, last)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(f".{os.getpid()}")
        rows.to_parquet(aside, index=False)
        aside.replace(path)
    return Year(
        pd.read_parquet(path), service.entities, service.features, features.plan(model.features), dataset.timezone
    )


def _join(
    settings: Settings,
    features: FeastFeatures,
    model: ModelSpec,
    dataset: DatasetSpec,
    sources: dict[str, str],
    code: str,
    first: date,
    last: date,
) -> "pd.DataFrame":
    store, start = DeltaTables(settings.tables_uri), midnight(first, dataset.timezone)
    end = days_before(midnight(last, dataset.timezone), -1, dataset.timezone)
    as_of = days_before(end, -LANDED_DAYS, dataset.timezone)
    raw = {table.name: table.version for table in ingest(dataset, store, expected=sources, code_version=code)}
    tables = prepare(dataset, raw, store, load_module(settings.repo, dataset.name, "tables"), as_of)
    clean = write_clean(dataset, tables, raw, store, as_of=as_of.isoformat(), code_version=code)
    versions = build_features(dataset.name, clean, store, load_module(settings.repo, dataset.name, "features"), code)
    keys = features.describe(model.features).entities
    rows = rows_asked_between(model, dataset, clean, store, keys, start, end)
    return features.historical(model.features, rows, versions)
