"""From a plan to predictions: look up, encode and score chunk by chunk, then one commit."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from fairlead.errors import BundleError, FeatureError, ScoringError, SourceError
from fairlead.features.training_set import ASKED_AT as MOMENT
from fairlead.features.training_set import LABEL, LABEL_KNOWN_AT, ROW_ID, asked_rows
from fairlead.lineage.digest import hash_json
from fairlead.packaging.bundle import Bundle
from fairlead.packaging.session import ScoringSession
from fairlead.ports import FeatureStore, TableStore
from fairlead.scoring.columns import ASKED_AT, OWN, ROW, Layout, as_frame, check_finite, key_types, layout
from fairlead.scoring.parts import Parts
from fairlead.scoring.plan import BatchPlan
from fairlead.scoring.source import Source, digest_of, open_parquet, open_table
from fairlead.spec.dataset import did_you_mean
from fairlead.tables.engine import connect
from fairlead.training.fit import as_columns

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

CHUNK_ROWS = 50_000
"""Rows that are joined and scored at once: below, the join's own cost shows; above, memory grows and speed does not."""
STAGED_FILE = "rows.parquet"
ROWS_NOTE, YES_NOTE, SCORED_AT_NOTE = "fairlead.rows", "fairlead.yes", "fairlead.scored_at"

OnProgress = Callable[[int, int, float], None]
"""Rows done, rows in all, rows a second since this process began."""


class Predictions(BaseModel):
    """What a batch has led to."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    model: str
    version: str
    bundle: str
    source: str
    features: dict[str, int]
    output: str
    """Where the table of predictions lies."""
    output_version: int | None
    """None: the input has no rows, so nothing was written."""
    rows: int
    yes: int
    """Rows with a positive decision."""
    scored_at: str
    reused: bool
    """The predictions were there already."""
    continued_from: int = 0
    """Rows that an earlier, interrupted call had scored."""


@dataclass(frozen=True)
class Place:
    """A table in a store."""

    store: TableStore
    name: str

    @property
    def newest(self) -> int | None:
        """Its last version."""
        return self.store.newest(self.name)


@dataclass(frozen=True)
class Surroundings:
    """What a batch is scored with; the plan says from which versions."""

    tables: TableStore
    """Of the home: features, and the rows of a range of time."""
    source: Place | None
    """The Delta table that is scored; None: Parquet files are."""
    output: Place
    features: FeatureStore | None
    """None: nothing can be looked up."""
    bundle: Path
    work: Path
    """A folder for finished chunks."""


def score_batch(
    plan: BatchPlan, around: Surroundings, on_progress: OnProgress, chunk_rows: int = CHUNK_ROWS
) -> Predictions:
    """Score all rows of an input and append them to the table of predictions, in one commit.

    A killed batch leaves its finished chunks; the same plan goes on from them. A plan that was scored changes nothing.

    Raises:
        BundleError: the bundle is not the one that was planned.
        SourceError: the input cannot be read, or is not what the model takes.
        FeatureError: the features cannot be looked up.
        ScoringError: the output holds something else than predictions.
        HomeError: the disk is full, or cannot be written.
    """
    parts = Parts(around.work / f"{plan.key[:32]}-{chunk_rows}")
    found = around.output.store.find(around.output.name, plan.key)
    if found is not None:
        parts.remove()
        return _told(plan, around, found, reused=True)
    session = ScoringSession.open(around.bundle)
    _check_bundle(session.bundle, plan, around)
    _check_output(around.output)
    return _Batch(plan, around, session, parts, on_progress, chunk_rows).run()


class _Batch:
    """One call, after all that can be checked at once."""

    def __init__(
        self,
        plan: BatchPlan,
        around: Surroundings,
        session: ScoringSession,
        parts: Parts,
        tell: OnProgress,
        chunk_rows: int,
    ) -> None:
        self.plan, self.around, self.session, self.parts, self.tell = plan, around, session, parts, tell
        self.chunk_rows = chunk_rows
        self.signature = session.bundle.signature
        self.scored_at: datetime
        self.done = self.continued = 0

    def run(self) -> Predictions:
        source = self._open()
        keys = key_types(self.signature, self.around.tables, self.plan.features)
        columns = layout(source, self.signature, keys, self.plan.rows_table, self.plan.keep)
        if columns.asks and self.plan.asked_at:
            raise ScoringError(f"{source.label} says itself when its rows are asked about: leave --asked-at out")
        total = source.rows
        if not total:
            self.parts.remove()
            return _told(self.plan, self.around, None)
        self.scored_at = self.parts.begin().scored_at
        count = self._chunks(source, columns, total)
        return self._commit(count)

    def _open(self) -> Source:
        plan, table = self.plan, self.around.source
        if table is None:
            source = open_parquet(plan.source)
            found = digest_of(plan.source)
        else:
            assert plan.source_version is not None, "the version of a table is planned"
            source = open_table(table.store, table.name, plan.source_version, plan.source_label)
            found = table.store.identity(table.name, plan.source_version)
        if found != plan.source_digest:
            raise SourceError(f"{plan.source_label} has changed since the batch was planned; give the command again")
        return self._range() if plan.start else source

    def _range(self) -> Source:
        """The rows of a range of time, in the order of asking, as a file beside the parts."""
        plan = self.plan
        wanted = dict.fromkeys([*self.signature.request_columns, *plan.rows_table.primary_key, *plan.keep])
        start, end = datetime.fromisoformat(plan.start), datetime.fromisoformat(plan.end)

        def write(path: Path) -> None:
            connection = connect()
            assert plan.source_version is not None, "rows of a range are in a table"
            asked = asked_rows(
                connection, plan.model, plan.dataset, plan.source_version, self.around.tables, list(wanted), start, end
            )
            kept = asked.rename({ASKED_AT: MOMENT}).drop(ROW_ID, LABEL, LABEL_KNOWN_AT)
            connection.to_parquet(kept, path)

        self.parts.begin()
        staged = open_parquet(str(self.parts.stage(STAGED_FILE, write)))
        return Source(plan.source_label, staged.files, staged.schema)

    def _chunks(self, source: Source, columns: Layout, total: int) -> int:
        """Score what is not there yet; returns how many chunks there are."""
        began, number = time.monotonic(), 0
        for number, chunk in enumerate(source.chunks(list(columns.types), self.chunk_rows), start=1):
            if self.parts.has(number - 1):
                self.continued += chunk.num_rows
            else:
                self.parts.save(number - 1, self._score(columns.cast(chunk, self.done, source.label), columns, source))
            self.done += chunk.num_rows
            seconds = max(time.monotonic() - began, 1e-9)
            self.tell(self.done, total, (self.done - self.continued) / seconds)
        if self.done != total:
            raise SourceError(f"{source.label} must have {total:,} rows as when it was opened, but has {self.done:,}")
        return number

    def _score(self, rows: "pa.Table", columns: Layout, source: Source) -> "pa.Table":
        import pyarrow as pa

        plan, bundle, count = self.plan, self.session.bundle, rows.num_rows
        moment = datetime.fromisoformat(plan.asked_at) if plan.asked_at else self.scored_at
        instant = pa.timestamp("us", "UTC")
        asked = rows[ASKED_AT] if columns.asks else pa.chunked_array([pa.repeat(pa.scalar(moment, instant), count)])
        frame = self._look_up(rows, asked)
        with np.errstate(over="ignore"):  # what becomes infinite is refused with its row
            matrix = self.signature.matrix(as_columns(frame, self.signature))
        check_finite(matrix, self.signature, self.done, source.label)
        scores = self.session.scores(matrix)
        named = {name: rows[name] for name in columns.repeated}
        answers = {
            ROW: pa.array(range(self.done, self.done + count), pa.int64()),
            ASKED_AT: asked,
            "score": pa.array(scores, pa.float32()),
            "decision": pa.array(self.session.decisions(scores)),
            "model": pa.repeat(bundle.model, count),
            "version": pa.repeat(plan.version, count),
            "scored_at": pa.repeat(pa.scalar(self.scored_at, instant), count),
        }
        return pa.table({**named, **answers})

    def _look_up(self, rows: "pa.Table", asked: "pa.ChunkedArray") -> "pd.DataFrame":
        frame = as_frame(rows, asked, self.signature)
        wanted = [item.name for item in self.signature.inputs if item.source == "feature"]
        if not wanted:
            return frame
        service, store = self.session.bundle.feature_service, self.around.features
        if store is None:
            raise FeatureError(f"{self.plan.model.name} takes features of {service}, but there is no feature store")
        joined = store.historical(service, frame, self.plan.features)
        for name in wanted:
            if name not in joined:
                raise FeatureError(f"the model takes the feature {name!r} of {service}" + did_you_mean(name, joined))
        return joined

    def _commit(self, count: int) -> Predictions:
        yes = self.parts.count("decision", count)
        output = self.around.output
        notes = _notes(self.plan, rows=self.done, yes=yes, scored_at=self.scored_at)
        version = output.store.append(output.name, self.parts.read(count), key=self.plan.key, notes=notes)
        self.parts.remove()
        return _told(self.plan, self.around, version, continued_from=self.continued)


def _notes(plan: BatchPlan, *, rows: int, yes: int, scored_at: datetime) -> dict[str, str]:
    """What the commit keeps: all that the predictions were made from."""
    return {
        "fairlead.model": plan.model.name,
        "fairlead.version": plan.version,
        "fairlead.bundle": plan.bundle,
        "fairlead.input": plan.source,
        "fairlead.input_version": "" if plan.source_version is None else str(plan.source_version),
        "fairlead.input_digest": plan.source_digest,
        "fairlead.range": f"{plan.start}/{plan.end}" if plan.start else "",
        "fairlead.features": json.dumps(plan.features, sort_keys=True),
        "fairlead.code_version": plan.code_version,
        ROWS_NOTE: str(rows),
        YES_NOTE: str(yes),
        SCORED_AT_NOTE: scored_at.isoformat(),
    }


def _told(
    plan: BatchPlan, around: Surroundings, version: int | None, *, reused: bool = False, continued_from: int = 0
) -> Predictions:
    output = around.output
    notes = {} if version is None else output.store.notes(output.name, version)
    return Predictions(
        model=plan.model.name,
        version=plan.version,
        bundle=plan.bundle,
        source=plan.source_label,
        features=plan.features,
        output=plan.output,
        output_version=version,
        rows=int(notes.get(ROWS_NOTE, 0)),
        yes=int(notes.get(YES_NOTE, 0)),
        scored_at=notes.get(SCORED_AT_NOTE, ""),
        reused=reused,
        continued_from=continued_from,
    )


def _check_bundle(bundle: Bundle, plan: BatchPlan, around: Surroundings) -> None:
    found = bundle_digest(bundle)
    if found != plan.bundle:
        raise BundleError(f"{around.bundle}: the bundle's digest must be {plan.bundle} as planned, but is {found}")


def _check_output(output: Place) -> None:
    """Predictions are appended: what is there must be predictions, too."""
    if output.newest is None:
        return
    columns = output.store.schema(output.name, output.newest).names
    missing = [name for name in OWN if name not in columns]
    if missing:
        raise ScoringError(f"the table {output.name} must hold predictions, but has no column {missing[0]!r}")


def bundle_digest(bundle: Bundle) -> str:
    """Names a bundle, its version included."""
    return hash_json(bundle.model_dump(mode="json"))
