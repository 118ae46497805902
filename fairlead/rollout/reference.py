"""What stable was like in the hour before: the yardstick of a decision."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fairlead.errors import RolloutError
from fairlead.rollout.dispersion import NEEDED, dispersion
from fairlead.rollout.windows import Window

QUANTILE = 0.95


@dataclass(frozen=True, slots=True)
class SlowAnswers:
    """The latency above which an answer counts as slow, and what a slower server would make of it."""

    threshold_seconds: float
    share: float
    """Of stable's answers above the threshold; 0.05 if the threshold is the 95th percentile itself."""
    share_if_slower: float
    """Of stable's answers above threshold / margin: what the share would be were all answers `margin` times slower."""

    @property
    def ratio(self) -> float:
        """How many times more slow answers a server has that is slower by the margin."""
        return self.share_if_slower / self.share


def slow_answers(bounds: Sequence[float], counts: Sequence[int], *, margin: float) -> SlowAnswers:
    """From a histogram of stable's hour: the bucket bound nearest to its 95th percentile is the threshold.

    Only at the bound of a bucket can a share be counted. Between bounds the share is interpolated linearly.

    Args:
        bounds: upper bounds of the buckets in seconds, rising, without infinity.
        counts: answers at or below each bound (cumulative), and as the last one all answers.
        margin: how many times slower the candidate may be.

    Raises:
        RolloutError: there are no answers, no bound cuts off 0.5% to 20% of them, or the buckets are too wide to tell
            a server that is slower by the margin.
    """
    if len(counts) != len(bounds) + 1 or any(later < earlier for earlier, later in pairwise(counts)):
        raise RolloutError("a histogram must have cumulative counts, one for each bound and one for all answers")
    if counts[-1] == 0:
        raise RolloutError("stable answered nothing in the hour before: there is no latency to compare with")
    above = [1 - count / counts[-1] for count in counts[:-1]]
    nearest = min(range(len(bounds)), key=lambda index: abs(above[index] - (1 - QUANTILE)), default=None)
    if nearest is None or not 0.005 <= above[nearest] <= 0.2:
        raise RolloutError(
            "no bucket of the latency histogram is near stable's 95th percentile (0.5% to 20% of answers above it): "
            "choose other buckets"
        )
    slower = _share_above(bounds, above, bounds[nearest] / margin)
    found = SlowAnswers(bounds[nearest], above[nearest], slower)
    if found.ratio < 1.05:
        raise RolloutError(
            f"the buckets of the latency histogram are too wide below {bounds[nearest]:g} s to see a server that is "
            f"{margin:g} times slower: choose narrower ones"
        )
    return found


def _share_above(bounds: Sequence[float], above: Sequence[float], seconds: float) -> float:
    right = bisect_left(bounds, seconds)
    low, high = (bounds[right - 1], above[right - 1]) if right else (0.0, 1.0)
    return high + (above[right] - high) * (seconds - low) / (bounds[right] - low)


@dataclass(frozen=True, slots=True)
class Reference:
    """Stable in the hour before the candidate saw traffic."""

    windows: int
    """With traffic."""
    error_share: float
    error_dispersion: float
    slow_share: float
    slow_dispersion: float
    slow: SlowAnswers | None = None
    """None where latency is not judged."""

    @property
    def enough(self) -> bool:
        """Whether there was enough traffic to know what is usual."""
        return self.windows >= NEEDED

    @classmethod
    def of(cls, windows: Sequence[Window], slow: SlowAnswers | None = None) -> "Reference":
        """Measure it on the windows of that hour; only their stable arm is read."""
        used = [window.stable for window in windows if window.stable.requests > 0]
        requests = np.array([counts.requests for counts in used])
        errors = np.array([counts.errors for counts in used])
        slows = np.array([counts.slow for counts in used])
        total = max(1, int(requests.sum()))
        return cls(
            windows=len(used),
            error_share=float(errors.sum() / total),
            error_dispersion=float(dispersion(requests, errors)),
            slow_share=float(slows.sum() / total),
            slow_dispersion=float(dispersion(requests, slows)),
            slow=slow,
        )
