"""Population stability index over quantiles of the reference, with the chance of so large a one.

The index is Jeffreys' divergence of binned shares (Jeffreys, 1946; in credit scoring Siddiqi, 2006). Its usual bounds,
0.1 and 0.25, know no sample size: at a hundred rows chance alone goes beyond 0.1. Without a change it is (1/n + 1/m)
times χ² with bins - 1 degrees of freedom (Yurdakul, 2018, section 3), whence the p-value.
"""

import numpy as np
import numpy.typing as npt
from scipy import stats

from fairlead.drift._base import Column, Evidence, present

BINS = 10
LEAST_A_BIN = 5
HALF = 0.5
"""Added to each count: an empty bin would make the index infinite (Haldane, 1956)."""


def psi(reference: Column, window: Column) -> Evidence | None:
    """Compare shares in quantiles of the reference; missing values are left out, for `missing` to judge.

    The effect is the index: below 0.1 usually called stable, above 0.25 shifted.
    """
    old, new = present(reference).astype(np.float64), present(window).astype(np.float64)
    if min(len(old), len(new)) < 2 * LEAST_A_BIN:
        return None
    edges = _edges(old, min(BINS, len(old) // LEAST_A_BIN, len(new) // LEAST_A_BIN))
    if not len(edges):
        return None  # one value only
    first, second = _counts(old, edges), _counts(new, edges)
    index = _index(first, second)
    scale = 1 / len(old) + 1 / len(new)
    return Evidence(float(stats.chi2.sf(index / scale, len(first) - 1)), index, index)


def _edges(values: npt.NDArray[np.float64], bins: int) -> npt.NDArray[np.float64]:
    """Between the bins. Where many values are equal there are fewer, each with something in it."""
    edges: npt.NDArray[np.float64] = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    inner: npt.NDArray[np.float64] = edges[edges < values.max()]
    return inner


def _counts(values: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    bins = np.searchsorted(edges, values, side="left")
    return np.bincount(bins, minlength=len(edges) + 1).astype(np.float64)


def _index(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    old = (first + HALF) / (first + HALF).sum()
    new = (second + HALF) / (second + HALF).sum()
    return float(((new - old) * np.log(new / old)).sum())
