"""What every evaluation takes, checked in one place: labels, scores, weights."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def labels_and_scores(y: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Both as float arrays of shape [n]: labels 0.0 or 1.0, scores within [0, 1].

    Raises:
        ValueError: there are no rows, the lengths differ, or a value is out of its range (NaN is).
    """
    labels = checked_labels(y)
    checked = _vector("scores", scores)
    if len(checked) != len(labels):
        raise ValueError(f"labels and scores must be of one length, but are {len(labels)} and {len(checked)}")
    _refuse("scores must be within [0, 1]", checked, ~((checked >= 0) & (checked <= 1)))
    return labels, checked


def checked_labels(y: npt.ArrayLike) -> Floats:
    """The labels as a float array of shape [n], each 0.0 or 1.0.

    Raises:
        ValueError: there are none, or one is anything else.
    """
    labels = _vector("labels", y)
    if len(labels) == 0:
        raise ValueError("nothing to evaluate: there are no rows")
    _refuse("labels must be 0 or 1", labels, (labels != 0) & (labels != 1))
    return labels


def checked_weights(weights: npt.ArrayLike | None, rows: int) -> Floats:
    """The weights as a float array of shape [rows]; ones if there are none.

    Raises:
        ValueError: the length is another, a weight is negative or not finite, or all are zero.
    """
    if weights is None:
        return np.ones(rows)
    checked = _vector("weights", weights)
    if len(checked) != rows:
        raise ValueError(f"weights must be one a row, but are {len(checked)} for {rows} rows")
    _refuse("weights must be finite and not negative", checked, ~(np.isfinite(checked) & (checked >= 0)))
    if not checked.any():
        raise ValueError(f"weights must not all be zero, but all {rows} are")
    return checked


def _vector(name: str, values: npt.ArrayLike) -> Floats:
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1:
        raise ValueError(f"{name} must be of shape [n], but are of shape {list(vector.shape)}")
    return vector


def _refuse(rule: str, values: Floats, broken: npt.NDArray[np.bool_]) -> None:
    if broken.any():
        row = int(np.argmax(broken))
        raise ValueError(f"{rule}, but {int(broken.sum())} of {len(values)} are not (row {row}: {values[row]})")
