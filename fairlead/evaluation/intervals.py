"""How far a metric could be off: bootstrap confidence intervals."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan, nan, sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from fairlead.evaluation._inputs import Floats, labels_and_scores
from fairlead.evaluation._resampling import Units, resampled_weights, student_quantile, units_of
from fairlead.evaluation.metrics import Metric, metric_named


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the ends of its confidence interval; the ends are NaN where it is undefined."""

    value: float
    low: float
    high: float
    level: float
    """How often, over many samples, such an interval holds the true value: 0.95."""
    method: str
    replicates: int
    """Resamples behind the ends, without those in which the metric was undefined; 0 for a closed form."""


def bootstrap(
    y: npt.ArrayLike,
    scores: npt.ArrayLike,
    metrics: Iterable[str],
    *,
    replicates: int = 500,
    level: float = 0.95,
    seed: int,
    groups: npt.ArrayLike | None = None,
) -> dict[str, Interval]:
    """The interval of each metric, from the same resamples.

    Without `groups` rows are drawn, which takes them as independent. Rows of one day, customer or site seldom are; with
    `groups` (shape [n]) whole groups are drawn, and the interval is as wide as the groups differ. Which one heads a
    report is the caller's choice: by rows it tells how well *these* groups were measured, by groups how the metric may
    come out on others like them. The model is taken as given: what another training set would change is in neither.

    The ends are expanded percentiles: those of the resamples, further out the fewer units are drawn (Hesterberg 2015,
    "What Teachers Should Know About the Bootstrap"), since plain percentiles of seven days hold the truth in some 87%
    of cases where 95% are claimed; these hold it in some 93%. A metric that noise can only raise (the calibration
    error) is overshot by its resamples and gets the interval of `_allowing_for_noise`. With fewer than two units, or a
    metric that is undefined, the ends are NaN.

    Raises:
        ValueError: a metric is unknown, the rows are not as `labels_and_scores` demands, `groups` is not one value a
            row, `replicates` is under 2 or `level` not within (0, 1).
    """
    labels, checked = labels_and_scores(y, scores)
    chosen = [metric_named(name) for name in metrics]
    units = units_of(len(labels), groups)
    chunks: list[list[Floats]] = [
        [metric.reweighted(labels, checked, weights) for metric in chosen]
        for weights in resampled_weights(units, replicates=replicates, seed=seed)
    ]
    method = f"bootstrap of {'rows' if groups is None else 'groups'}"
    tail = _tail(level, units)
    intervals = {}
    for metric, resamples in zip(chosen, zip(*chunks, strict=True), strict=True):
        value = metric.unweighted(labels, checked)
        defined = np.concatenate(resamples)
        defined = defined[~np.isnan(defined)]
        low, high = _ends(metric, value, defined, tail)
        intervals[metric.name] = Interval(value, low, high, level, method, len(defined))
    return intervals


def _tail(level: float, units: Units) -> float:
    """The share of resamples beyond each end; NaN for a single unit."""
    quantile = student_quantile(level, units.count)
    return nan if isnan(quantile) else NormalDist().cdf(-quantile)


def _ends(metric: Metric, value: float, resamples: Floats, tail: float) -> tuple[float, float]:
    if isnan(value) or isnan(tail) or len(resamples) == 0:
        return nan, nan
    low, high = (float(end) for end in np.quantile(resamples, [tail, 1 - tail]))
    if metric.noise_raises_it:
        return _allowing_for_noise(value, low, float(resamples.mean()), high)
    return low, high


def _allowing_for_noise(value: float, low: float, centre: float, high: float) -> tuple[float, float]:
    """The interval of a sum of |gap|, of which an unknown part is noise: from all of it noise to none of it.

    Noise of spread s makes a gap of 0 look like 0.8 s on average, and the resamples, which add the same noise again,
    like √2 times that: so they overshoot the value by √2 - 1 of what the value overshoots a truth of 0, and by nothing
    where the gap is wide. The low end takes the whole 1 / (√2 - 1) = 1 + √2 overshoots off, the high end none.
    """
    overshoot = max(0.0, centre - value)
    return max(0.0, value - (1 + sqrt(2)) * overshoot - (high - centre)), value + (centre - low)
