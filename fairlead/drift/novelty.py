"""Novelty: rows of which a number lies beyond what the model has ever been fitted to.

A tree answers there as at the end of what it knows. Distributions move with every season, and a model that has seen a
whole year is right not to mind; this asks whether it has seen such values at all, so it falls silent once it has.
"""

from datetime import timedelta

import numpy as np
import numpy.typing as npt

WINDOW = timedelta(days=7)
"""Of whose rows the share is taken."""
END = 0.001
"""Share of the reference beyond either end: a single odd reading must not widen the range."""


def ranges(reference: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Low and high end of each column, shape [2, d]; NaN where a column holds nothing. Rows are shape [n, d]."""
    ends = np.full((2, reference.shape[1]), np.nan)
    for column in range(reference.shape[1]):
        values = reference[:, column][~np.isnan(reference[:, column])]
        if len(values):
            ends[:, column] = np.quantile(values, [END, 1 - END])
    return ends


def novelty(ends: npt.NDArray[np.float64], rows: npt.NDArray[np.floating]) -> float:
    """The share of rows (shape [n, d]) with a number beyond the ends; missing ones are within. 0 without rows."""
    if not len(rows):
        return 0.0
    with np.errstate(invalid="ignore"):
        return float(((rows < ends[0]) | (rows > ends[1])).any(axis=1).mean())
