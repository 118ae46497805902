"""Calibration: of the rows scored 0.3, do three in ten turn out positive?"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from fairlead.evaluation._bins import bin_of, quantile_edges, uniform_edges
from fairlead.evaluation._inputs import checked_weights, labels_and_scores
from fairlead.evaluation.wilson import wilson_interval

CALIBRATION_BINS = 15
"""Equally wide bins of the expected calibration error: M of Guo et al. 2017, table 1."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """One point of a reliability diagram."""

    rows: int
    lowest_score: float
    highest_score: float
    mean_score: float
    observed_rate: float
    low: float
    """Lower end of Wilson's interval for the observed rate."""
    high: float


def reliability_curve(
    y: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    bins: int = 10,
    strategy: Literal["quantile", "uniform"] = "quantile",
    level: float = 0.95,
) -> list[ReliabilityBin]:
    """The bins that hold rows, by ascending score.

    Quantile bins hold about as many rows each (equal scores stay together); uniform ones are equally wide. Wilson's
    intervals take rows as independent: where they come in correlated groups, such as days, they are too narrow.

    Raises:
        ValueError: the rows are not as `labels_and_scores` demands, or `bins` is under 1.
    """
    labels, checked = labels_and_scores(y, scores)
    edges = quantile_edges(checked, bins) if strategy == "quantile" else uniform_edges(bins)
    codes = bin_of(checked, edges)
    return [_reliability(labels[codes == code], checked[codes == code], level) for code in np.unique(codes)]


def _reliability(labels: npt.NDArray[np.float64], scores: npt.NDArray[np.float64], level: float) -> ReliabilityBin:
    low, high = wilson_interval(int(labels.sum()), len(labels), level=level)
    return ReliabilityBin(
        rows=len(labels),
        lowest_score=float(scores.min()),
        highest_score=float(scores.max()),
        mean_score=float(scores.mean()),
        observed_rate=float(labels.mean()),
        low=low,
        high=high,
    )


def expected_calibration_error(
    y: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None = None, *, bins: int = CALIBRATION_BINS
) -> float:
    """The mean distance of score and observed rate over equally wide bins, weighted by their rows.

    It is never negative, so sampling noise alone makes it positive, by about `sqrt(bins used / rows)` times 0.3:
    compare it between models on the same rows, or with its interval, rather than with zero.

    Source: Guo, Pleiss, Sun & Weinberger 2017, "On Calibration of Modern Neural Networks", equation 3.
    """
    labels, checked = labels_and_scores(y, scores)
    weight = checked_weights(weights, len(labels))
    gaps = np.bincount(bin_of(checked, uniform_edges(bins)), weights=weight * (labels - checked))
    return float(np.abs(gaps).sum() / weight.sum())
