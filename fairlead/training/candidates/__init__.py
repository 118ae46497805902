"""The algorithms a model file can name, one file each."""

from collections.abc import Mapping

from fairlead.training.candidates._base import Candidate, Fitted, Labels, Scores
from fairlead.training.candidates.hist_gradient_boosting import HistGradientBoosting
from fairlead.training.candidates.lightgbm import LightGBM
from fairlead.training.candidates.logistic import Logistic

CANDIDATES: Mapping[str, Candidate] = {item.name: item for item in (LightGBM(), HistGradientBoosting(), Logistic())}

__all__ = ["CANDIDATES", "Candidate", "Fitted", "Labels", "Scores"]
