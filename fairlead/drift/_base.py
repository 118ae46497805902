"""What every test says, and what it is asked."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.float64] | npt.NDArray[np.object_]
"""Numbers, NaN where missing; or categories, None where missing."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one test found."""

    p_value: float
    """Chance of so much difference, or more, if nothing has changed."""
    statistic: float
    effect: float
    """How large the difference is, whatever the number of rows; each test says on which scale."""


class ColumnTest(Protocol):
    """Compares one column of the reference with that of a window."""

    def __call__(self, reference: Column, window: Column) -> Evidence | None:
        """None where too few values are present to say anything."""
        ...


def present(values: Column) -> Column:
    """Those that are not missing."""
    if values.dtype.kind == "f":
        there: npt.NDArray[np.bool_] = ~np.isnan(values)
    else:
        there = np.array([value is not None for value in values], dtype=bool)
    kept: Column = values[there]
    return kept
