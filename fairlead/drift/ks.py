"""Kolmogorov-Smirnov: a number is distributed otherwise.

Two samples: Smirnov (1939); p-value after Hodges (1958), as scipy.stats.ks_2samp. With ties it is conservative: p is
too large, never too small.
"""

import numpy as np
from scipy import stats

from fairlead.drift._base import Column, Evidence, present

LEAST = 8
"""Fewer values on either side say nothing at any usual level."""


def ks(reference: Column, window: Column) -> Evidence | None:
    """Compare two samples of numbers; missing values are left out, for `missing` to judge.

    The effect is D: the largest difference of the two distribution functions, between 0 and 1.
    """
    old, new = present(reference).astype(np.float64), present(window).astype(np.float64)
    if min(len(old), len(new)) < LEAST:
        return None
    # Exact p-values are for small samples, and slow beyond.
    method = "exact" if max(len(old), len(new)) <= 100 else "asymp"
    found = stats.ks_2samp(old, new, method=method)
    return Evidence(float(found.pvalue), float(found.statistic), float(found.statistic))
