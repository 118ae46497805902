"""Gradient boosting by LightGBM."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead.packaging.signature import Matrix, Signature
from fairlead.training.candidates._base import Labels, Scores

if TYPE_CHECKING:
    import lightgbm
    import onnx


@dataclass(frozen=True)
class FittedLightGBM:
    """Category codes are split as numbers: LightGBM's categorical splits do not survive the export exactly."""

    booster: "lightgbm.Booster"

    def scores(self, matrix: Matrix) -> Scores:
        result: Scores = np.asarray(self.booster.predict(matrix), dtype=np.float64)
        return result

    def to_onnx(self) -> "onnx.ModelProto":
        from onnxmltools import convert_lightgbm
        from onnxmltools.convert.common.data_types import FloatTensorType

        width = self.booster.num_feature()
        # A name of its own: the converter's default is a random one, and the same model would differ in its bytes.
        return convert_lightgbm(
            self.booster, name="lightgbm", initial_types=[("features", FloatTensorType([None, width]))], zipmap=False
        )


class LightGBM:
    """`Candidate`; see https://lightgbm.readthedocs.io/en/stable/Parameters.html for the parameters."""

    name = "lightgbm"
    parameters = frozenset(
        {
            "n_estimators", "num_leaves", "learning_rate", "max_depth", "min_child_samples", "reg_alpha", "reg_lambda",
            "feature_fraction", "bagging_fraction", "bagging_freq", "min_split_gain", "max_bin",
        }
    )  # fmt: skip

    def fit(
        self, matrix: Matrix, labels: Labels, signature: Signature, params: Mapping[str, Any], seed: int
    ) -> FittedLightGBM:
        import lightgbm

        options = {key: value for key, value in params.items() if key != "n_estimators"}
        options |= {"objective": "binary", "seed": seed, "deterministic": True, "force_row_wise": True, "verbosity": -1}
        rows = lightgbm.Dataset(matrix, labels, feature_name=[f"f{index}" for index in range(matrix.shape[1])])
        return FittedLightGBM(lightgbm.train(options, rows, num_boost_round=params.get("n_estimators", 100)))
