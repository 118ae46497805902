"""Evaluation: metrics, their uncertainty, slices, gates, and champion against challenger.

Pure functions over arrays of labels (0 or 1) and scores (within [0, 1]), both of shape [n]: binary classification.
"""

from fairlead.evaluation.baselines import Baseline, base_rate_baseline, best_single_feature
from fairlead.evaluation.calibration import ReliabilityBin, reliability_curve
from fairlead.evaluation.comparison import Comparison, compare
from fairlead.evaluation.curves import (
    PrecisionRecallCurve,
    RocCurve,
    choose_threshold,
    precision_recall_curve,
    roc_curve,
)
from fairlead.evaluation.gates import Evidence, GateResult, check_gates
from fairlead.evaluation.intervals import Interval, bootstrap
from fairlead.evaluation.metrics import METRICS, Metric, measure
from fairlead.evaluation.slices import SliceResult, by_slice

__all__ = [
    "METRICS",
    "Baseline",
    "Comparison",
    "Evidence",
    "GateResult",
    "Interval",
    "Metric",
    "PrecisionRecallCurve",
    "ReliabilityBin",
    "RocCurve",
    "SliceResult",
    "base_rate_baseline",
    "best_single_feature",
    "bootstrap",
    "by_slice",
    "check_gates",
    "choose_threshold",
    "compare",
    "measure",
    "precision_recall_curve",
    "reliability_curve",
    "roc_curve",
]
