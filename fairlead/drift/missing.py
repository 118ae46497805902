"""A value is missing more often, or less.

Fisher's exact test (1922) for few, χ² without correction for many. It stands beside the tests of values, which leave
missing ones out: one NaN among them would make their p-value NaN, and hide all else.
"""

import numpy as np
from scipy import stats

from fairlead.drift._base import Column, Evidence, present

FEW = 1000


def missing(reference: Column, window: Column) -> Evidence | None:
    """Compare the shares of missing values. The effect is their difference, window less reference."""
    if not len(reference) or not len(window):
        return None
    table = np.array([_counts(reference), _counts(window)], dtype=np.int64)
    effect = table[1, 0] / len(window) - table[0, 0] / len(reference)
    if not table.sum(axis=0).all():  # never missing, or always
        return Evidence(1.0, 0.0, float(effect))
    if min(len(reference), len(window)) <= FEW:
        p_value = stats.fisher_exact(table).pvalue
    else:
        p_value = stats.chi2_contingency(table, correction=False).pvalue
    return Evidence(float(p_value), float(abs(effect)), float(effect))


def _counts(values: Column) -> list[int]:
    there = len(present(values))
    return [len(values) - there, there]
