"""Gradient boosting by scikit-learn."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fairlead.packaging.signature import Matrix, Signature
from fairlead.training.candidates._base import Labels
from fairlead.training.candidates._sklearn import FittedSklearn


class HistGradientBoosting:
    """`Candidate`: scikit-learn's HistGradientBoostingClassifier."""

    name = "hist_gradient_boosting"
    parameters = frozenset(
        {
            "max_iter",
            "max_leaf_nodes",
            "learning_rate",
            "max_depth",
            "min_samples_leaf",
            "l2_regularization",
            "max_bins",
        }
    )

    def fit(
        self, matrix: Matrix, labels: Labels, signature: Signature, params: Mapping[str, Any], seed: int
    ) -> FittedSklearn:
        from sklearn.ensemble import HistGradientBoostingClassifier

        # scikit-learn fails on a column without any value; one that is always the same is never split on.
        rows = np.where(np.isnan(matrix).all(axis=0), np.float32(0), matrix)
        # Early stopping would hold out rows at random; the folds in time judge the number of trees instead.
        return FittedSklearn(
            HistGradientBoostingClassifier(**params, early_stopping=False, random_state=seed).fit(rows, labels)
        )
