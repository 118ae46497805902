"""Champion against challenger, on the same rows."""

from dataclasses import dataclass
from math import erfc, inf, isnan, nan, sqrt
from typing import Literal

import numpy as np
import numpy.typing as npt

from fairlead.evaluation._inputs import Floats, labels_and_scores
from fairlead.evaluation._resampling import (
    resampled_weights,
    student_p_value,
    student_quantile,
    units_of,
)
from fairlead.evaluation.intervals import Interval
from fairlead.evaluation.metrics import Metric, metric_named
from fairlead.evaluation.wilson import normal_quantile

Verdict = Literal["better", "not_worse", "worse", "undecided"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the rows say about a challenger; see `compare` for the verdicts."""

    metric: str
    champion: float
    challenger: float
    difference: float
    """By how much the challenger is better, in the metric's unit: positive is better, also where a lower metric is."""
    interval: Interval
    """Of the difference."""
    p_value: float
    """Two-sided, of the hypothesis that there is no difference; NaN where the difference is undefined."""
    margin: float
    verdict: Verdict


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Checked labels and both models' scores, all of shape [n]."""

    labels: Floats
    champion: Floats
    challenger: Floats


def compare(
    y: npt.ArrayLike,
    champion_scores: npt.ArrayLike,
    challenger_scores: npt.ArrayLike,
    *,
    metric: str,
    margin: float,
    level: float = 0.95,
    seed: int,
    groups: npt.ArrayLike | None = None,
    replicates: int = 1000,
) -> Comparison:
    """Compare two models on the same rows (all arrays of shape [n]).

    With [low, high] the two-sided interval of the difference at `level`, the verdict is the first that holds:

    1. `better`: low > 0. The challenger is superior, wrongly said in (1 - level) / 2 of cases at most.
    2. `worse`: high < -margin. It is worse by more than the margin, with the same risk.
    3. `not_worse`: low >= -margin. It is non-inferior: whatever it may be, it is not worse by more than the margin.
    4. `undecided`: the rows are too few to tell; or the difference is undefined, as an AUC with one class is.

    Two equal sets of scores have the interval [0, 0] and are `not_worse` for any margin. For a margin of 0 nothing else
    is: showing "not worse at all" is showing "better".

    The interval is DeLong's for `roc_auc` of independent rows. For other metrics, and for `groups` (shape [n]: days,
    customers), it is the difference ± Student's t times its spread over resamples that draw the same rows, or whole
    groups, for both models: seven days or more give about the claimed coverage. Pairing cancels luck that both models
    share, but not that one gains on some days and loses on others: pass the days. Over weeks of New York flights the
    interval by days is about twice as wide as DeLong's, which calls "better" what the days leave undecided.

    Raises:
        ValueError: the metric is unknown or judges no scores (`base_rate`), `margin` is negative or not finite, rows
            are not as `labels_and_scores` demands, `groups` is not one value a row, or `level` is not within (0, 1).
    """
    judged = metric_named(metric)
    if judged.higher_is_better is None:
        raise ValueError(f"the metric {metric!r} describes the rows and cannot compare models")
    if not 0 <= margin < inf:
        raise ValueError(f"margin must be finite and not negative, but is {margin}")
    labels, champion = labels_and_scores(y, champion_scores)
    _, challenger = labels_and_scores(y, challenger_scores)
    rows = _Rows(labels, champion, challenger)
    if metric == "roc_auc" and groups is None:
        interval, p_value = _by_delong(rows, level)
    else:
        interval, p_value = _by_bootstrap(judged, rows, level, seed, groups, replicates)
    return Comparison(
        metric=metric,
        champion=judged.unweighted(labels, champion),
        challenger=judged.unweighted(labels, challenger),
        difference=interval.value,
        interval=interval,
        p_value=p_value,
        margin=margin,
        verdict=_verdict(interval.low, interval.high, margin),
    )


def delong(y: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Floats, Floats]:
    """The AUCs of k models on the same n rows, and the covariance of these AUCs.

    The covariance of DeLong, DeLong & Clarke-Pearson 1988, "Comparing the Areas under Two or More Correlated Receiver
    Operating Characteristic Curves", by the midranks of Sun & Xu 2014, "Fast Implementation of DeLong's Algorithm", in
    O(k n log n). It takes rows as independent.

    Args:
        y: 0 or 1, shape [n].
        scores: shape [k, n].

    Returns:
        Shapes [k] and [k, k]; NaN with one class only. The covariance is NaN too if a class has a single row.
    """
    checked = [labels_and_scores(y, row) for row in np.atleast_2d(np.asarray(scores, dtype=np.float64))]
    positive = checked[0][0] == 1
    positives, negatives = int(positive.sum()), int((~positive).sum())
    models = len(checked)
    if positives == 0 or negatives == 0:
        return np.full(models, nan), np.full((models, models), nan)
    beaten = np.array([_beaten_negatives(values, positive) for _, values in checked])
    beating = np.array([_beating_positives(values, positive) for _, values in checked])
    if positives == 1 or negatives == 1:
        return beaten.mean(axis=1), np.full((models, models), nan)
    covariance = np.cov(beaten) / positives + np.cov(beating) / negatives
    return beaten.mean(axis=1), np.reshape(covariance, (models, models))


def _beaten_negatives(scores: Floats, positive: npt.NDArray[np.bool_]) -> Floats:
    """For each positive, the share of negatives that score lower (V10 of DeLong et al.)."""
    ranks: Floats = _midranks(scores)[positive] - _midranks(scores[positive])
    return ranks / int((~positive).sum())


def _beating_positives(scores: Floats, positive: npt.NDArray[np.bool_]) -> Floats:
    """For each negative, the share of positives that score higher (V01 of DeLong et al.)."""
    ranks: Floats = _midranks(scores)[~positive] - _midranks(scores[~positive])
    return 1 - ranks / int(positive.sum())


def _midranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share the mean of theirs."""
    _, code, counts = np.unique(values, return_inverse=True, return_counts=True)
    midrank_of_code: Floats = np.cumsum(counts) - (counts - 1) / 2
    return midrank_of_code[code]


def _by_delong(rows: _Rows, level: float) -> tuple[Interval, float]:
    aucs, covariance = delong(rows.labels, np.stack([rows.champion, rows.challenger]))
    difference = float(aucs[1] - aucs[0])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    spread = nan if isnan(variance) else sqrt(max(0.0, variance))
    half = normal_quantile(level) * spread
    interval = Interval(difference, difference - half, difference + half, level, "DeLong", 0)
    return interval, erfc(abs(_ratio(difference, spread)) / sqrt(2))


def _by_bootstrap(
    metric: Metric, rows: _Rows, level: float, seed: int, groups: npt.ArrayLike | None, replicates: int
) -> tuple[Interval, float]:
    units = units_of(len(rows.labels), groups)
    difference = float(_gains(metric, rows, np.ones((1, len(rows.labels))))[0])
    gains = np.concatenate(
        [_gains(metric, rows, weights) for weights in resampled_weights(units, replicates=replicates, seed=seed)]
    )
    gains = gains[~np.isnan(gains)]
    spread = float(gains.std(ddof=1)) if len(gains) > 1 and units.count > 1 else nan
    half = student_quantile(level, units.count) * spread
    method = f"paired bootstrap of {'rows' if groups is None else 'groups'}"
    interval = Interval(difference, difference - half, difference + half, level, method, len(gains))
    return interval, student_p_value(_ratio(difference, spread), units.count)


def _gains(metric: Metric, rows: _Rows, weights: Floats) -> Floats:
    """How much better the challenger is under each weighting."""
    champion = metric.reweighted(rows.labels, rows.champion, weights)
    challenger = metric.reweighted(rows.labels, rows.challenger, weights)
    return challenger - champion if metric.higher_is_better else champion - challenger


def _ratio(difference: float, spread: float) -> float:
    if spread == 0:
        return 0.0 if difference == 0 else inf
    return difference / spread


def _verdict(low: float, high: float, margin: float) -> Verdict:
    if low > 0:
        return "better"
    if high < -margin:
        return "worse"
    return "not_worse" if low >= -margin else "undecided"
