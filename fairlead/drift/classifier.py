"""Classifier two-sample test: can a model tell the rows of the window from those of the reference?

Lopez-Paz and Oquab: Revisiting classifier two-sample tests (ICLR 2017). A model is fitted to half of the rows and ranks
the other half, which it has not seen; whether it ranks the window's rows higher is a Mann-Whitney test (1947), valid
whatever the model is. The ranks, not the decisions: a threshold throws the power away. It sees what tests of single
columns cannot: a scale, an imputation, a broken correlation.
"""

import numpy as np
import numpy.typing as npt
from scipy import stats

from fairlead.drift._base import Evidence

LEAST = 40
"""Rows of either side; half of them are for the fit."""


def classifier(reference: npt.NDArray[np.float64], window: npt.NDArray[np.float64], seed: int = 0) -> Evidence | None:
    """Compare rows of numbers, shape [n, d] and [m, d]; NaN is a value of its own.

    The effect is 2 AUC - 1: 0 where the rows cannot be told apart, 1 where all can. Of a large reference so many rows
    are drawn as the window has, so that the fit is not swamped by one side.

    Args:
        reference: where rows came from.
        window: rows of now.
        seed: of the draw and the fit.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    if min(len(reference), len(window)) < LEAST:
        return None
    draw = np.random.default_rng(seed)
    old = reference if len(reference) <= len(window) else reference[draw.choice(len(reference), len(window), False)]
    rows = np.vstack([old, window])
    labels = np.concatenate([np.zeros(len(old)), np.ones(len(window))])
    order = draw.permutation(len(rows))
    fit, seen = order[: len(order) // 2], order[len(order) // 2 :]
    model = HistGradientBoostingClassifier(max_iter=60, learning_rate=0.1, min_samples_leaf=20, random_state=seed)
    scores = model.fit(rows[fit], labels[fit]).predict_proba(rows[seen])[:, 1]
    new, before = scores[labels[seen] == 1], scores[labels[seen] == 0]
    found = stats.mannwhitneyu(new, before, alternative="greater")
    area = found.statistic / (len(new) * len(before))
    return Evidence(float(found.pvalue), float(area), float(2 * area - 1))
