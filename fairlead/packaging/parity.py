"""Is the exported model the fitted one? Every row is compared, and rows with holes besides."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from fairlead.packaging.signature import UNKNOWN_CATEGORY, Matrix, Signature

Scorer = Callable[[Matrix], npt.NDArray[np.floating]]
PROBED_ROWS = 200


class Parity(BaseModel):
    """The largest difference of a probability, and how many decisions differ."""

    model_config = ConfigDict(frozen=True)

    rows: int
    """All rows given, and the probes made from them."""
    probes: int
    """Rows of which one column was emptied: missing numbers and unknown categories must agree as well."""
    max_abs: float
    flipped: int
    """Decisions that differ at the threshold."""


def measure_parity(native: Scorer, exported: Scorer, matrix: Matrix, signature: Signature, threshold: float) -> Parity:
    """Compare two scorers on every row of `matrix` [n, d] and on probes with each column emptied in turn."""
    probes = _probes(matrix, signature)
    rows = np.concatenate([matrix, probes])
    left, right = native(rows).astype(np.float64), exported(rows).astype(np.float64)
    return Parity(
        rows=len(rows),
        probes=len(probes),
        max_abs=float(np.max(np.abs(left - right))),
        flipped=int(np.sum((left >= threshold) != (right >= threshold))),
    )


def _probes(matrix: Matrix, signature: Signature) -> Matrix:
    some = matrix[:PROBED_ROWS]
    probes = np.repeat(some[None], len(signature.inputs), axis=0)
    for index, item in enumerate(signature.inputs):
        probes[index, :, index] = UNKNOWN_CATEGORY if item.kind == "category" else np.nan
    return probes.reshape(-1, matrix.shape[1])
