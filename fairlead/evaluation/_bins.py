"""Cutting values into bins: interior edges, each bin open below and closed above."""

import numpy as np
import numpy.typing as npt

from fairlead.evaluation._inputs import Floats


def uniform_edges(bins: int) -> Floats:
    """The `bins - 1` interior edges of equally wide bins over [0, 1]."""
    if bins < 1:
        raise ValueError(f"bins must be at least 1, but is {bins}")
    return np.arange(1, bins) / bins


def quantile_edges(values: Floats, bins: int) -> Floats:
    """Interior edges of at most `bins` bins with about as many `values` each, none of them empty.

    Equal values are never parted, so ties make fewer bins; with no more than `bins` distinct values each has its own.
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1, but is {bins}")
    distinct: Floats = np.unique(values)
    if len(distinct) <= bins:
        return distinct[:-1]
    edges: Floats = np.unique(np.quantile(values, np.arange(1, bins) / bins, method="inverted_cdf"))
    return np.compress(edges < distinct[-1], edges)


def bin_of(values: Floats, edges: Floats) -> npt.NDArray[np.intp]:
    """The bin of each value, from 0 to `len(edges)`; bin k holds `edges[k - 1] < value <= edges[k]`."""
    return np.searchsorted(edges, values, side="left")
