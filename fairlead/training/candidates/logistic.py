"""Logistic regression: the plain model that the others must beat."""

from collections.abc import Mapping
from typing import Any

from fairlead.packaging.signature import Matrix, Signature
from fairlead.training.candidates._base import Labels
from fairlead.training.candidates._sklearn import FittedSklearn


class Logistic:
    """`Candidate`: numbers imputed by their median and scaled, categories one-hot (an unknown one is all zeros)."""

    name = "logistic"
    parameters = frozenset({"C", "max_iter"})

    def fit(
        self, matrix: Matrix, labels: Labels, signature: Signature, params: Mapping[str, Any], seed: int
    ) -> FittedSklearn:
        from sklearn.compose import ColumnTransformer
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        categories = [index for index, item in enumerate(signature.inputs) if item.kind == "category"]
        numbers = [index for index, item in enumerate(signature.inputs) if item.kind == "number"]
        codes = [list(range(len(signature.inputs[index].categories))) for index in categories]
        transformer = ColumnTransformer(
            [
                (
                    "number",
                    make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()),
                    numbers,
                ),
                ("category", OneHotEncoder(categories=codes, handle_unknown="ignore", sparse_output=False), categories),
            ]
        )
        # Rows outnumber columns by far: Newton steps converge in a few rounds, where lbfgs takes a hundred.
        classifier = LogisticRegression(solver="newton-cholesky", **{"max_iter": 500, **params}, random_state=seed)
        return FittedSklearn(make_pipeline(transformer, classifier).fit(matrix, labels))
