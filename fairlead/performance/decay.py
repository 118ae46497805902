"""Decay: a version ranks worse than its own scores promise.

The ROC AUC of two weeks rises and falls with the weather by several hundredths, so a fall below a fixed reference says
little. What the scores of the same rows promise rises and falls with them: a model that is as good as it thinks has
live = promised, in easy weeks and in hard ones. A model that has aged goes on promising.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fairlead.evaluation.metrics import METRICS
from fairlead.performance.live import estimated_roc_auc


@dataclass(frozen=True)
class Decay:
    """What the labels of some rows say against the scores of the same rows."""

    live: float
    promised: float
    rows: int
    decayed: bool

    @property
    def gap(self) -> float:
        """By how much less than promised; negative for more."""
        return self.promised - self.live


def decay(
    labels: npt.NDArray[np.float64], scores: npt.NDArray[np.float64], threshold: float, least_rows: int
) -> Decay | None:
    """Compare; None where rows are too few or of one class.

    Args:
        labels: 0 or 1, shape [n].
        scores: of the same rows.
        threshold: the smallest gap that is decay.
        least_rows: fewer say nothing.
    """
    if len(labels) < least_rows or not 0 < labels.sum() < len(labels):
        return None
    promised = estimated_roc_auc(scores)
    if promised is None:
        return None
    live = METRICS["roc_auc"].unweighted(labels, scores)
    return Decay(live, promised, len(labels), promised - live > threshold)
