"""A candidate's answers, read from the records of predictions and joined to labels, once in a few minutes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fairlead.errors import FairleadError
from fairlead.performance.labels import COLUMNS, predictions_of
from fairlead.ports import RecordStore
from fairlead.rollout.answers import NOTHING, Answers, judge_answers, since_when
from fairlead.rollout.release import Release
from fairlead.spec.model import RolloutSpec

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

KEPT = timedelta(minutes=5)
"""How long a result is good. Labels come in hours, but a release is looked at each few seconds, and one reading takes
all records of some days and the source of the labels: seconds, in which nothing else is looked at."""

Labels = Callable[[str, "pd.Series[str]"], "pd.DataFrame"]
"""Model and keys of predictions → `key`, `label`, `known_at`, as known now."""


@dataclass
class RecordedAnswers:
    """`Controller.answers`. What it keeps is only there to be quick."""

    records: Callable[[], RecordStore]
    """Opened where it is needed: most models ask for nothing of it."""
    labels: Labels
    _kept: dict[str, tuple[int, datetime, Answers]] = field(default_factory=dict)
    """Model → revision, when it was read, and what was found."""

    def __call__(self, release: Release, spec: RolloutSpec, now: datetime) -> Answers:
        """Nothing, where the spec asks for nothing; why, where it cannot be read."""
        if release.stage not in ("shadow", "canary") or not _asked_for(release, spec):
            return NOTHING
        revision, at, found = self._kept.get(release.model, (0, now, NOTHING))
        if revision == release.revision and timedelta(0) <= now - at < KEPT:
            return found
        found = self._read(release, spec, now)
        self._kept[release.model] = release.revision, now, found
        return found

    def _read(self, release: Release, spec: RolloutSpec, now: datetime) -> Answers:
        try:
            rows = self._rows(release, spec, now)
            # Without predictions no source is read: it would take long, and say nothing.
            labels = self.labels(release.model, rows["key"]) if spec.quality and len(rows) else _no_labels()
            return judge_answers(rows, labels, release, spec, now)
        except FairleadError as error:
            return Answers(unavailable=f"The candidate's answers cannot be judged: {error}")
        except Exception as error:  # noqa: BLE001  # a dataset's own code makes labels, and may raise anything
            told = f"{type(error).__name__}: {error}"
            return Answers(unavailable=f"The candidate's answers cannot be judged: {told}")

    def _rows(self, release: Release, spec: RolloutSpec, now: datetime) -> "pd.DataFrame":
        """Predictions of both arms that count, in the order of the answers."""
        begin = since_when(release, spec)
        days = (begin.astimezone(UTC).date(), now.astimezone(UTC).date())
        records = self.records().read(release.model, *days, COLUMNS)
        rows = predictions_of(_of_both(records, release, begin, now), copies=True)
        return rows.sort_values(["answered_at", "key"], kind="stable")


def _asked_for(release: Release, spec: RolloutSpec) -> bool:
    """Behind the shadow there are no pairs to compare without labels."""
    return spec.reads_records if release.stage == "shadow" else spec.quality is not None


def _of_both(records: "pa.Table", release: Release, begin: datetime, now: datetime) -> "pa.Table":
    """Stable's answers to callers; the candidate's in the shadow, where all are copies, or to callers."""
    import pyarrow.compute as pc

    live, version = ~pc.field("mirrored"), pc.field("version")
    counts = pc.scalar(True) if release.stage == "shadow" else live
    arms = ((version == release.stable) & live) | ((version == release.candidate) & counts)
    return records.filter((pc.field("time") >= begin) & (pc.field("time") <= now) & arms)


def _no_labels() -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(
        {
            "key": pd.Series(dtype=str),
            "label": pd.Series(dtype="float64"),
            "known_at": pd.Series(dtype="datetime64[us, UTC]"),
        }
    )
