"""The metrics of a binary classifier, by name."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import nan
from types import MappingProxyType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fairlead.evaluation import _reweighted
from fairlead.evaluation._inputs import Floats, checked_weights, labels_and_scores
from fairlead.evaluation.calibration import expected_calibration_error

# scikit-learn takes seconds to import, so the functions that need it do.


class MetricFunction(Protocol):
    """Takes labels (0 or 1), scores within [0, 1] and weights, all of shape [n]; without weights each row counts once.

    Answers NaN where the metric is undefined, such as an AUC with one class only.

    Raises:
        ValueError: there are no rows, or a value is out of its range.
    """

    def __call__(self, y: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float: ...


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that says how good scores are."""

    name: str
    higher_is_better: bool | None
    """None: it describes the rows, not the scores."""
    function: MetricFunction
    reweighted: Callable[[Floats, Floats, Floats], Floats]
    """The same for weights of shape [r, n] at once: the answer has shape [r]. Takes checked arrays only."""
    noise_raises_it: bool = False
    """It sums distances, so sampling noise only ever adds to it."""

    def unweighted(self, labels: Floats, scores: Floats) -> float:
        """What `function` answers without weights, from checked arrays and without importing scikit-learn."""
        return float(self.reweighted(labels, scores, np.ones((1, len(labels))))[0])


def roc_auc(y: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """The probability that a positive scores higher than a negative; ties count half. NaN with one class only."""
    from sklearn.metrics import roc_auc_score

    labels, checked, weight = _checked(y, scores, weights)
    if not _weighs_both_classes(labels, weight):
        return nan
    return float(roc_auc_score(labels, checked, sample_weight=weight))


def average_precision(y: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """The area under precision over recall, as steps. NaN without positives; random scores get the base rate."""
    from sklearn.metrics import average_precision_score

    labels, checked, weight = _checked(y, scores, weights)
    if not (weight * labels).any():
        return nan
    return float(average_precision_score(labels, checked, sample_weight=weight))


def log_loss(y: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """The mean negative log-likelihood in nats; a score of 0 or 1 that is wrong costs 36, not infinity."""
    from sklearn.metrics import log_loss as sklearn_log_loss

    labels, checked, weight = _checked(y, scores, weights)
    return float(sklearn_log_loss(labels, checked, sample_weight=weight, labels=[0.0, 1.0]))


def brier(y: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """The mean squared distance of score and label: 0 is perfect, a constant 0.5 gets 0.25."""
    from sklearn.metrics import brier_score_loss

    labels, checked, weight = _checked(y, scores, weights)
    return float(brier_score_loss(labels, checked, sample_weight=weight, labels=[0.0, 1.0], pos_label=1.0))


def base_rate(y: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """The share of positives."""
    labels, _, weight = _checked(y, scores, weights)
    return float(np.average(labels, weights=weight))


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric("roc_auc", True, roc_auc, _reweighted.roc_auc),
            Metric("average_precision", True, average_precision, _reweighted.average_precision),
            Metric("log_loss", False, log_loss, _reweighted.log_loss),
            Metric("brier", False, brier, _reweighted.brier),
            Metric(
                "expected_calibration_error",
                False,
                expected_calibration_error,
                _reweighted.expected_calibration_error,
                noise_raises_it=True,
            ),
            Metric("base_rate", None, base_rate, _reweighted.base_rate),
        )
    }
)


def metric_named(name: str) -> Metric:
    """Look up a metric.

    Raises:
        ValueError: there is none of that name.
    """
    try:
        return METRICS[name]
    except KeyError:
        raise ValueError(f"there is no metric {name!r}: choose from {', '.join(METRICS)}") from None


def measure(
    y: npt.ArrayLike,
    scores: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    metrics: Iterable[str] = tuple(METRICS),
) -> dict[str, float]:
    """Each metric's value by its name, in the order asked for.

    Raises:
        ValueError: a metric is unknown, there are no rows, or a value is out of its range.
    """
    return {name: metric_named(name).function(y, scores, weights) for name in metrics}


def _checked(y: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    labels, checked = labels_and_scores(y, scores)
    return labels, checked, checked_weights(weights, len(labels))


def _weighs_both_classes(labels: Floats, weights: Floats) -> bool:
    return bool((weights * labels).any() and (weights * (1 - labels)).any())
