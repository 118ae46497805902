"""The job: labels joined to the records of the last days, and how each version does."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from fairlead import metrics as catalogue
from fairlead.metrics import Metric
from fairlead.monitors.results import Figures
from fairlead.performance.change import Change, changes
from fairlead.performance.decay import Decay, decay
from fairlead.performance.labels import LabelState, join, predictions_of
from fairlead.performance.live import Live, measure
from fairlead.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SHOWN_STATES: tuple[LabelState, ...] = ("known", "awaited", "overdue", "early")
LIVE: dict[str, Metric] = {
    "roc_auc": catalogue.LIVE_ROC_AUC,
    "log_loss": catalogue.LIVE_LOG_LOSS,
    "expected_calibration_error": catalogue.LIVE_CALIBRATION_ERROR,
}


@dataclass(frozen=True)
class VersionPerformance:
    """How one version does."""

    version: str
    labels: dict[LabelState, int]
    live: Live | None
    """None: too few labels are known."""
    decay: Decay | None
    changes: list[Change]


@dataclass(frozen=True)
class Performance:
    """How the versions of a model do that answered in the last days."""

    at: datetime
    conflicting: int
    versions: list[VersionPerformance]


def look(records: "pa.Table", labels: "pd.DataFrame", model: ModelSpec, timezone: str, now: datetime) -> Performance:
    """Join and measure.

    Args:
        records: of the window and of the longest delay before it, at least.
        labels: `key`, `label`, `known_at`.
        model: the window and what is decay.
        timezone: in which days begin.
        now: nothing of later is looked at.
    """
    spec = model.performance
    joined = join(predictions_of(records), labels, now, spec.longest_delay)
    found = []
    for version in joined.versions:
        known = joined.known(version)
        recent = known[known["asked_at"] >= now - spec.window]
        values, scores = recent["label"].to_numpy(np.float64), recent["score"].to_numpy(np.float64)
        found.append(
            VersionPerformance(
                version=version,
                labels=joined.counts(version),
                live=measure(recent, timezone, spec.least_rows),
                decay=decay(values, scores, spec.decay, spec.least_rows),
                changes=changes(known),
            )
        )
    return Performance(now, joined.conflicting, found)


def figures(model: str, found: Performance) -> Figures:
    """Every metric of `fairlead.metrics.PERFORMANCE` that is known."""
    told = Figures(model=model)
    told.set(catalogue.PERFORMANCE_LAST_RUN, found.at.timestamp())
    told.set(catalogue.LABELS_CONFLICTING_ROWS, found.conflicting)
    for item in found.versions:
        _add(told, item)
    return told


def _add(told: Figures, item: VersionPerformance) -> None:
    version = item.version
    for state in SHOWN_STATES:
        told.set(catalogue.LABELS_ROWS, item.labels[state], version=version, state=state)
    due = item.labels["known"] + item.labels["overdue"]
    told.set(catalogue.LABELS_OVERDUE_RATIO, item.labels["overdue"] / due if due else 0.0, version=version)
    told.set(catalogue.LIVE_JUDGED, float(item.live is not None), version=version)
    if item.live is not None:
        for name, metric in LIVE.items():
            interval = item.live.metrics[name]
            for bound, value in (("value", interval.value), ("low", interval.low), ("high", interval.high)):
                told.set(metric, value, version=version, bound=bound)
        for quantile, seconds in zip(("0.5", "0.95"), item.live.delay_seconds, strict=True):
            told.set(catalogue.LABEL_DELAY_SECONDS, seconds, version=version, quantile=quantile)
    if item.decay is not None:
        told.set(catalogue.LIVE_ESTIMATED_ROC_AUC, item.decay.promised, version=version)
        told.set(catalogue.LIVE_DECAY, float(item.decay.decayed), version=version)
    for change in item.changes:
        told.set(catalogue.LOSS_CHANGE, float(change.changed), version=version, detector=change.detector)
        if change.at is not None:
            when = change.at.timestamp()
            told.set(catalogue.LOSS_CHANGE_TIMESTAMP, when, version=version, detector=change.detector)
