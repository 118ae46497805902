"""Each metric under many weightings of the same rows at once: what makes resampling fast.

Labels and scores are of shape [n] and already checked, weights of shape [r, n]; the answer is of shape [r], NaN where a
weighting leaves the metric undefined. The rows are sorted once, not once a weighting.
"""

import numpy as np
import numpy.typing as npt

from fairlead.evaluation._bins import bin_of, uniform_edges
from fairlead.evaluation._inputs import Floats
from fairlead.evaluation.calibration import CALIBRATION_BINS


def roc_auc(labels: Floats, scores: Floats, weights: Floats) -> Floats:
    """The share of pairs in which the positive scores higher; ties count half."""
    positive_scores, positives = _ascending(labels == 1, scores, weights)
    negative_scores, negatives = _ascending(labels == 0, scores, weights)
    lower = _summed(negatives)
    below = np.take(lower, np.searchsorted(negative_scores, positive_scores, side="left"), axis=1)
    not_above = np.take(lower, np.searchsorted(negative_scores, positive_scores, side="right"), axis=1)
    beaten = np.einsum("rp,rp->r", positives, below) / 2 + np.einsum("rp,rp->r", positives, not_above) / 2
    return _ratio(beaten, positives.sum(axis=1) * lower[:, -1])


def average_precision(labels: Floats, scores: Floats, weights: Floats) -> Floats:
    """The mean precision at the scores of the positives, which is what each step of recall adds."""
    positive_scores, positives = _ascending(labels == 1, scores, weights)
    negative_scores, negatives = _ascending(labels == 0, scores, weights)
    found = _at_least(positive_scores, positives, positive_scores)
    flagged = found + _at_least(negative_scores, negatives, positive_scores)
    precision = np.divide(found, flagged, out=np.zeros_like(found), where=flagged > 0)
    return _ratio(np.einsum("rp,rp->r", positives, precision), positives.sum(axis=1))


def log_loss(labels: Floats, scores: Floats, weights: Floats) -> Floats:
    """The mean negative log-likelihood; scores are kept one machine epsilon away from 0 and 1, as scikit-learn does."""
    epsilon = np.finfo(np.float64).eps
    kept = np.clip(scores, epsilon, 1 - epsilon)
    return _mean(-np.where(labels == 1, np.log(kept), np.log1p(-kept)), weights)


def brier(labels: Floats, scores: Floats, weights: Floats) -> Floats:
    """The mean squared distance of score and label."""
    return _mean((scores - labels) ** 2, weights)


def base_rate(labels: Floats, scores: Floats, weights: Floats) -> Floats:
    """The share of positives."""
    return _mean(labels, weights)


def expected_calibration_error(labels: Floats, scores: Floats, weights: Floats) -> Floats:
    """The mean distance of score and observed rate over equally wide bins."""
    codes = bin_of(scores, uniform_edges(CALIBRATION_BINS))
    gaps = np.zeros((len(scores), CALIBRATION_BINS))
    gaps[np.arange(len(scores)), codes] = labels - scores
    return _ratio(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))


def _ascending(chosen: npt.NDArray[np.bool_], scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Scores (shape [c]) and weights (shape [r, c]) of the chosen rows, by ascending score."""
    rows = np.flatnonzero(chosen)
    rows = rows[np.argsort(scores[rows], kind="stable")]
    return scores[rows], np.take(weights, rows, axis=1)


def _summed(weights: Floats) -> Floats:
    """The weight of the first 0, 1, … c rows: shape [r, c + 1]."""
    sums = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums


def _at_least(scores: Floats, weights: Floats, thresholds: Floats) -> Floats:
    """The weight of the rows (by ascending score) that score at least each threshold: shape [r, thresholds]."""
    lower = _summed(weights)
    return lower[:, -1:] - np.take(lower, np.searchsorted(scores, thresholds, side="left"), axis=1)


def _mean(values: Floats, weights: Floats) -> Floats:
    return _ratio(weights @ values, weights.sum(axis=1))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)
