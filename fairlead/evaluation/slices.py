"""Metrics by slice: is the model as good for every airport as it is on average?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt

from fairlead.evaluation._inputs import labels_and_scores
from fairlead.evaluation.metrics import METRICS, measure


@dataclass(frozen=True, slots=True)
class SliceResult:
    """What was measured on the rows that hold one value in one column."""

    column: str
    value: str
    rows: int
    positives: int
    mean_score: float
    metrics: Mapping[str, float]
    """By name; NaN where undefined."""
    enough_rows: bool
    """Whether there are enough to judge by; the numbers are given either way."""

    @property
    def roc_auc(self) -> float:
        """NaN with one class only, or where it was not measured."""
        return self.metrics.get("roc_auc", nan)

    @property
    def base_rate(self) -> float:
        """The share of positives."""
        return self.positives / self.rows


def by_slice(
    y: npt.ArrayLike,
    scores: npt.ArrayLike,
    columns: Mapping[str, Sequence[Any]],
    *,
    min_rows: int,
    metrics: Iterable[str] = tuple(METRICS),
) -> list[SliceResult]:
    """One result for each value of each column: columns as given, values in the order of their text.

    Values are compared as text, so a missing one (`None`, `nan`) makes a slice of its own.

    Raises:
        ValueError: a column is not one value a row, a metric is unknown, or the rows are not as `labels_and_scores`
            demands.
    """
    labels, checked = labels_and_scores(y, scores)
    names = tuple(metrics)
    results = []
    for column, values in columns.items():
        if len(values) != len(labels):
            raise ValueError(f"column {column!r} must have one value a row, but has {len(values)} for {len(labels)}")
        texts = np.array([str(value) for value in values])
        for text in np.unique(texts):
            here = texts == text
            results.append(_slice(column, str(text), labels[here], checked[here], names, min_rows))
    return results


def _slice(
    column: str,
    value: str,
    labels: npt.NDArray[np.float64],
    scores: npt.NDArray[np.float64],
    metrics: tuple[str, ...],
    min_rows: int,
) -> SliceResult:
    return SliceResult(
        column=column,
        value=value,
        rows=len(labels),
        positives=int(labels.sum()),
        mean_score=float(scores.mean()),
        metrics=measure(labels, scores, metrics=metrics),
        enough_rows=len(labels) >= min_rows,
    )
