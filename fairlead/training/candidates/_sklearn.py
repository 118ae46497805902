"""What the candidates from scikit-learn share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead.packaging.signature import Matrix
from fairlead.training.candidates._base import Scores

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class FittedSklearn:
    """A fitted classifier or pipeline."""

    estimator: Any

    def scores(self, matrix: Matrix) -> Scores:
        result: Scores = self.estimator.predict_proba(matrix)[:, 1].astype(np.float64)
        return result

    def to_onnx(self) -> "onnx.ModelProto":
        from skl2onnx import to_onnx
        from skl2onnx.common.data_types import FloatTensorType

        width = self.estimator.n_features_in_
        return to_onnx(
            self.estimator,
            name=type(self.estimator).__name__,
            initial_types=[("features", FloatTensorType([None, width]))],
            options={id(self.estimator): {"zipmap": False}},
        )
