"""ROC and precision-recall curves for plots, and the threshold that turns a score into a decision.

A row is flagged if its score is at least the threshold.
"""

from dataclasses import dataclass
from math import inf
from typing import Literal

import numpy as np
import numpy.typing as npt

from fairlead.evaluation._inputs import Floats, labels_and_scores

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RocCurve:
    """Points by falling threshold, from (0, 0) at an infinite one to (1, 1); no points with one class only."""

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]
    thresholds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PrecisionRecallCurve:
    """Points by falling threshold, from the highest score to a recall of 1; no points without positives."""

    recall: tuple[float, ...]
    precision: tuple[float, ...]
    thresholds: tuple[float, ...]


def roc_curve(y: npt.ArrayLike, scores: npt.ArrayLike, *, max_points: int = 200) -> RocCurve:
    """The curve of all distinct scores, thinned to points about equally far apart along it."""
    labels, checked = labels_and_scores(y, scores)
    thresholds, found, false_alarms = _by_falling_threshold(labels, checked)
    if found[-1] == 0 or false_alarms[-1] == 0:
        return RocCurve((), (), ())
    x = np.append(0.0, false_alarms / false_alarms[-1])
    y_ = np.append(0.0, found / found[-1])
    return RocCurve(*_thinned(x, y_, np.append(inf, thresholds), max_points))


def precision_recall_curve(y: npt.ArrayLike, scores: npt.ArrayLike, *, max_points: int = 200) -> PrecisionRecallCurve:
    """The curve of all distinct scores, thinned to points about equally far apart along it."""
    labels, checked = labels_and_scores(y, scores)
    thresholds, found, false_alarms = _by_falling_threshold(labels, checked)
    if found[-1] == 0:
        return PrecisionRecallCurve((), (), ())
    return PrecisionRecallCurve(*_thinned(found / found[-1], found / (found + false_alarms), thresholds, max_points))


def choose_threshold(y: npt.ArrayLike, scores: npt.ArrayLike, *, rule: Literal["max_f1", "youden"] = "max_f1") -> float:
    """The threshold with the highest F1, or the highest true minus false positive rate (Youden 1950).

    Of equally good ones it is the highest, which flags the fewest rows. It lies half-way between two scores, never on
    one, so that rounding a score to float32 flips no decision on these rows (unless two scores are that close). Choose
    it on rows that neither fit the model nor judge it.

    Raises:
        ValueError: there are no positives, or for "youden" no negatives; or the rows are not as `labels_and_scores`
            demands.
    """
    labels, checked = labels_and_scores(y, scores)
    thresholds, found, false_alarms = _by_falling_threshold(labels, checked)
    positives, negatives = int(found[-1]), int(false_alarms[-1])
    if positives == 0 or (rule == "youden" and negatives == 0):
        raise ValueError(f"rule {rule!r} needs both classes, but there are {positives} positives of {len(labels)} rows")
    if rule == "max_f1":
        quality = 2 * found / (found + false_alarms + positives)
    elif rule == "youden":
        quality = (found * negatives - false_alarms * positives).astype(np.float64)
    else:
        raise ValueError(f"rule must be 'max_f1' or 'youden', but is {rule!r}")
    best = int(np.argmax(quality))
    return _below(thresholds, best)


def _by_falling_threshold(labels: Floats, scores: Floats) -> tuple[Floats, Counts, Counts]:
    """The distinct scores, highest first, and how many positives and negatives score at least that."""
    distinct, code = np.unique(scores, return_inverse=True)
    positives = np.bincount(code[labels == 1], minlength=len(distinct))
    rows = np.bincount(code, minlength=len(distinct))
    return distinct[::-1], np.cumsum(positives[::-1]), np.cumsum((rows - positives)[::-1])


def _below(thresholds: Floats, index: int) -> float:
    """Half-way from a score to the next lower one (0 after the last); the score itself if nothing lies between."""
    score = float(thresholds[index])
    lower = float(thresholds[index + 1]) if index + 1 < len(thresholds) else 0.0
    middle = (score + lower) / 2
    return middle if lower < middle < score else score


def _thinned(
    x: Floats, y: Floats, thresholds: Floats, max_points: int
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """At most `max_points` of the points, the first and the last among them, evenly spread over the curve's length.

    Raises:
        ValueError: `max_points` is under 2.
    """
    if max_points < 2:
        raise ValueError(f"max_points must be at least 2, but is {max_points}")
    if len(x) <= max_points:
        kept = np.arange(len(x))
    else:
        travelled = np.append(0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
        kept = np.searchsorted(travelled, np.linspace(0.0, travelled[-1], max_points))
        kept = np.unique(np.append(kept[:-1], len(x) - 1))
    return tuple(x[kept].tolist()), tuple(y[kept].tolist()), tuple(thresholds[kept].tolist())
