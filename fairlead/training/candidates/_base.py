"""What a candidate is: something that can be fitted, and exported to ONNX."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from fairlead.packaging.signature import Matrix, Signature

if TYPE_CHECKING:
    import onnx

Labels = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]


class Fitted(Protocol):
    """A fitted model."""

    def scores(self, matrix: Matrix) -> Scores:
        """Probability of the positive class, shape [n]."""
        ...

    def to_onnx(self) -> "onnx.ModelProto":
        """A graph from `features` FP32 [n, d] to `probabilities` FP32 [n, 2] and a label."""
        ...


class Candidate(Protocol):
    """An algorithm and the names of what may be tuned about it."""

    name: str
    parameters: frozenset[str]

    def fit(self, matrix: Matrix, labels: Labels, signature: Signature, params: Mapping[str, Any], seed: int) -> Fitted:
        """Fit on float32 rows: what will be served is what is learnt from.

        The same rows, parameters and seed give the same model.
        """
        ...
