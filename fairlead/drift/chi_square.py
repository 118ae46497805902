"""Pearson's χ² of homogeneity: a category is more or less frequent, is new, or has gone.

Pearson (1900). Categories expected less than five times on either side are counted together (Cochran, 1954), so that
the approximation holds. The effect is Cramér's V (1946).
"""

import math
from collections import Counter

import numpy as np
import numpy.typing as npt
from scipy import stats

from fairlead.drift._base import Column, Evidence, present

LEAST_EXPECTED = 5.0


def chi_square(reference: Column, window: Column) -> Evidence | None:
    """Compare how often each category comes; missing values are left out, for `missing` to judge.

    The effect is Cramér's V, for two samples the square root of χ²/n: 0 for the same shares, 1 for nothing in common.
    """
    table = _table(present(reference), present(window))
    if table.shape[1] < 2:
        return None
    found = stats.chi2_contingency(table, correction=False)
    return Evidence(float(found.pvalue), float(found.statistic), math.sqrt(found.statistic / table.sum()))


def _table(reference: Column, window: Column) -> npt.NDArray[np.float64]:
    """Counts, shape [2, categories]; the rare ones in one column together."""
    old, new = Counter(reference.tolist()), Counter(window.tolist())
    names = sorted(old.keys() | new.keys(), key=str)
    counts = np.array([[old[name] for name in names], [new[name] for name in names]], dtype=np.float64).reshape(2, -1)
    if not counts.size or not counts.sum(axis=1).all():
        return np.empty((2, 0))
    smaller = counts.sum(axis=1).min() / counts.sum()
    rare = counts.sum(axis=0) * smaller < LEAST_EXPECTED
    together = counts[:, rare].sum(axis=1, keepdims=True)
    table = counts[:, ~rare]
    if together.sum() * smaller >= LEAST_EXPECTED:
        return np.hstack([table, together])
    if together.sum() and table.shape[1]:  # too few even together: they go to the least frequent of the others
        table[:, table.sum(axis=0).argmin()] += together[:, 0]
    return table
