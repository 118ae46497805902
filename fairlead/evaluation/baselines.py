"""What a model must beat to be worth its keep: no features at all, and the best single one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fairlead.evaluation import _reweighted
from fairlead.evaluation._bins import bin_of, quantile_edges
from fairlead.evaluation._inputs import Floats, checked_labels
from fairlead.evaluation.metrics import measure

FEATURE_BINS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """A trivial model, fitted on the training rows and measured on the test rows."""

    name: str
    feature: str | None
    """The single feature it reads, if any."""
    train_roc_auc: float
    metrics: dict[str, float]
    """On the test rows."""
    scores: Floats
    """Of the test rows, shape [n], to compare a model with."""


def base_rate_baseline(y_train: npt.ArrayLike, y_test: npt.ArrayLike) -> Baseline:
    """Score every row with the training rows' share of positives.

    Raises:
        ValueError: there are no rows, or a label is not 0 or 1.
    """
    rate = float(checked_labels(y_train).mean())
    labels = checked_labels(y_test)
    scores = np.full(len(labels), rate)
    return Baseline("base rate", None, 0.5, measure(labels, scores), scores)


def best_single_feature(
    train: npt.ArrayLike,
    y_train: npt.ArrayLike,
    test: npt.ArrayLike,
    y_test: npt.ArrayLike,
    names: Sequence[str],
) -> Baseline:
    """Score by the one feature that ranks the training rows best; the test rows have no say in which.

    A row's score is the share of positives among the training rows of its bin, of at most 20 with about as many rows
    each (each value its own if there are no more values), so features that rise, fall or bend are judged alike. NaN
    gets the base rate of the training rows. Of equally good features the first wins.

    Args:
        train: floats of shape [rows, d], NaN where missing.
        y_train: 0 or 1, shape [rows].
        test: floats of shape [other rows, d].
        y_test: 0 or 1, shape [other rows].
        names: of the d features.

    Raises:
        ValueError: shapes do not fit, there are no features, or the training labels hold one class only.
    """
    labels, test_labels = checked_labels(y_train), checked_labels(y_test)
    columns = _columns(train, len(labels), len(names), "train")
    test_columns = _columns(test, len(test_labels), len(names), "test")
    if not 0 < labels.sum() < len(labels):
        raise ValueError(f"training labels must hold both classes, but all {len(labels)} are {labels[0]:g}")
    aucs = [_auc(labels, _binned_rate(column, labels, column)) for column in columns]
    best = int(np.argmax(aucs))
    scores = _binned_rate(columns[best], labels, test_columns[best])
    return Baseline("best single feature", names[best], aucs[best], measure(test_labels, scores), scores)


def _columns(matrix: npt.ArrayLike, rows: int, features: int, name: str) -> Floats:
    values = np.asarray(matrix, dtype=np.float64)
    if values.shape != (rows, features) or features == 0:
        raise ValueError(f"{name} must be of shape [{rows}, {features}] with features, but is {list(values.shape)}")
    return values.T


def _auc(labels: Floats, scores: Floats) -> float:
    return float(_reweighted.roc_auc(labels, scores, np.ones((1, len(labels))))[0])


def _binned_rate(train: Floats, labels: Floats, values: Floats) -> Floats:
    """The share of positives in the training bin of each value; the overall share for NaN."""
    known = ~np.isnan(train)
    scores = np.full(len(values), labels.mean())
    if known.any():
        edges = quantile_edges(train[known], FEATURE_BINS)
        codes = bin_of(train[known], edges)
        rates = np.bincount(codes, weights=labels[known]) / np.bincount(codes)
        present = ~np.isnan(values)
        scores[present] = rates[bin_of(values[present], edges)]
    return scores
