"""Novelty: rows of which a number lies beyond what the model has ever been fitted to.

A tree answers there as at the end of what it knows. Distributions move with every season, and a model that has seen a
whole year is right not to mind; this asks whether it has seen such values at all, so it falls silent once it has.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fairlead.drift.reference import read_reference, usable
from fairlead.drift.windows import Window, of_window, to_sample
from fairlead.packaging.bundle import load_bundle
from fairlead.packaging.signature import Signature

if TYPE_CHECKING:
    import pyarrow as pa

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


@dataclass(frozen=True)
class Known:
    """What a bundle's reference says of the looked-up numbers that its model was fitted to."""

    signature: Signature
    names: tuple[str, ...]
    ends: npt.NDArray[np.float64]

    @classmethod
    def of(cls, folder: Path) -> "Known":
        """Read it.

        Raises:
            FairleadError: there is no bundle, or it has no reference.
        """
        bundle = load_bundle(folder)
        signature, kept = bundle.signature, usable(bundle.signature)
        names = tuple(item.name for item in signature.looked_up if item.kind == "number" and item.name in kept)
        reference = read_reference(folder, bundle)
        values = [reference.columns[name] for name in names]
        return cls(signature, names, ranges(np.column_stack(values)) if names else np.empty((2, 0)))

    def novelty(self, records: "pa.Table", version: str, now: datetime) -> float | None:
        """The share of a version's rows of the last week with a number beyond; None without rows or numbers.

        Raises:
            FairleadError: the records do not fit the bundle.
        """
        import pyarrow.compute as pc

        rows = of_window(records.filter(pc.field("version") == version), Window(now - WINDOW, now))
        sample = to_sample(rows, self.signature, ())
        if not len(sample) or not self.names or any(name not in sample.columns for name in self.names):
            return None
        return novelty(self.ends, np.column_stack([sample.columns[name] for name in self.names]))
