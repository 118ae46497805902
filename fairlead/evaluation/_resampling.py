"""Drawing rows, or whole groups of rows, with replacement."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from fairlead.evaluation._inputs import Floats

_CHUNK_CELLS = 2_000_000
"""Weights held at once (16 MB), so that memory does not grow with rows times replicates."""


@dataclass(frozen=True, slots=True)
class Units:
    """What is drawn: each row by itself, or the groups that rows belong to."""

    count: int
    code_of_row: npt.NDArray[np.intp]


def units_of(rows: int, groups: npt.ArrayLike | None) -> Units:
    """The rows themselves, or one unit for each distinct value of `groups` (shape [rows]: days, customers).

    Raises:
        ValueError: `groups` is not one value a row.
    """
    if groups is None:
        return Units(rows, np.arange(rows))
    values: npt.NDArray[Any] = np.asarray(groups)
    if values.shape != (rows,):
        raise ValueError(f"groups must be one value a row, but are of shape {list(values.shape)} for {rows} rows")
    distinct, codes = np.unique(values, return_inverse=True)
    return Units(len(distinct), codes)


def resampled_weights(units: Units, *, replicates: int, seed: int) -> Iterator[Floats]:
    """How often each row was drawn, in chunks of shape [some replicates, rows]; `units.count` draws a replicate.

    Raises:
        ValueError: `replicates` is under 2.
    """
    if replicates < 2:
        raise ValueError(f"replicates must be at least 2, but is {replicates}")
    rng = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_CELLS // len(units.code_of_row))
    for start in range(0, replicates, chunk):
        size = min(chunk, replicates - start)
        drawn = rng.integers(0, units.count, size=(size, units.count)) + units.count * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * units.count).reshape(size, units.count)
        yield np.take(counts.astype(np.float64), units.code_of_row, axis=1)


def student_quantile(level: float, units: int) -> float:
    """Student's t at `level` (two-sided), inflated for the bias of a bootstrap's spread over few units.

    The spread of a bootstrap is that of a variance divided by `units`, not by `units - 1`; the factor mends that. It
    tends to 1.96 for 0.95 and many units, is 2.64 for seven, and NaN for a single one.

    Source: Hesterberg 2015, "What Teachers Should Know About the Bootstrap".

    Raises:
        ValueError: `level` is not within (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be within (0, 1), but is {level}")
    if units < 2:
        return nan
    from scipy.special import stdtrit  # most of a second to import

    return float(stdtrit(units - 1, (1 + level) / 2)) * sqrt(units / (units - 1))


def student_p_value(ratio: float, units: int) -> float:
    """The two-sided p-value of an estimate that is `ratio` bootstrap spreads from 0; dual to `student_quantile`."""
    if units < 2:
        return nan
    from scipy.special import stdtr

    return 2 * float(stdtr(units - 1, -abs(ratio) * sqrt((units - 1) / units)))
