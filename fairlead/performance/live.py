"""How a version does on the labels that have arrived: metrics over its last days, with intervals by days."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fairlead.evaluation import Interval, bootstrap

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("roc_auc", "log_loss", "expected_calibration_error")
REPLICATES = 200
"""Of the bootstrap: of days, of which there are a few; more would tell nothing."""


@dataclass(frozen=True)
class Live:
    """What one version reached over some days."""

    rows: int
    days: int
    metrics: dict[str, Interval]
    delay_seconds: tuple[float, float]
    """Median and 95th percentile of the time from asking to the label."""


def measure(known: "pd.DataFrame", timezone: str, least_rows: int, seed: int = 0) -> Live | None:
    """Measure rows of `Joined.known`; None where they are too few, of fewer than two days, or of one class.

    Days are drawn, not rows: rows of one day share their weather and their jams.
    """
    days = known["asked_at"].dt.tz_convert(timezone).dt.date
    if len(known) < least_rows or days.nunique() < 2 or known["label"].nunique() < 2:
        return None
    delays = (known["known_at"] - known["asked_at"]).dt.total_seconds().to_numpy()
    found = bootstrap(
        known["label"].to_numpy(np.float64),
        known["score"].to_numpy(np.float64),
        METRICS,
        replicates=REPLICATES,
        seed=seed,
        groups=days.astype(str).to_numpy(),
    )
    middle, late = (float(value) for value in np.quantile(delays, [0.5, 0.95]))
    return Live(len(known), int(days.nunique()), found, (middle, late))


def estimated_roc_auc(scores: npt.NDArray[np.float64]) -> float | None:
    """The ROC AUC that scores promise if each is the probability of its label; no label is looked at.

    It is blind to concept drift: where the labels have come to mean something else, scores promise what they did before
    (.77 promised and .46 true, in one measurement). For display; nothing may be decided by it.

    The expected share of pairs of a positive and a negative that are in order, each score taken as the chance of its
    label (as confidence-based performance estimation does for accuracy).
    """
    if len(scores) < 2:
        return None
    yes = np.sort(scores)
    no = 1 - yes
    pairs = yes.sum() * no.sum() - (yes * no).sum()
    if pairs <= 0:
        return None
    below = np.concatenate([[0.0], np.cumsum(no)[:-1]])  # of equal scores half of the pairs, as an AUC counts ties
    return float((yes * below).sum() / pairs)
