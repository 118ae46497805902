"""The e-processes of a rollout, window by window, and the values at which they decide.

Three may roll back, and their risks add up to 5%: however often it is looked at, a candidate no worse than stable is
rolled back in at most one shadow and one canary of twenty (without bursts; see `ratio` for what bursts change). The
two are judged on their own, so that copies of requests, which no caller waits for, cannot promote.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log

import numpy as np
import numpy.typing as npt

from fairlead.rollout.ratio import HARMFUL, HARMLESS, Floats, average, log_e_process, log_rate_e_process
from fairlead.rollout.reference import Reference
from fairlead.spec.model import RolloutSpec

ALPHA_ERRORS = 0.035
ALPHA_LATENCY = 0.01
ALPHA_HARD = 0.005
ALPHA_PROMOTE = 0.02
"""Risk of promoting a candidate whose errors, or latency, are at its margin."""

HARD_RATIO = 3.0
"""A cold start explains so many times stable's errors; above it nothing waits for the warm-up."""
HARD: Mapping[float, float] = {2 * HARD_RATIO: 0.3, 5 * HARD_RATIO: 0.5, 12.5 * HARD_RATIO: 0.2}
HARD_SHARES: Mapping[float, float] = {2.0: 0.3, 5.0: 0.5, 12.5: 0.2}

LOG_ERRORS = -log(ALPHA_ERRORS)
LOG_LATENCY = -log(ALPHA_LATENCY)
LOG_HARD = -log(ALPHA_HARD)
LOG_PROMOTE = -log(ALPHA_PROMOTE)


@dataclass(frozen=True, slots=True, eq=False)
class Arms:
    """Requests and events of both arms, each of shape [..., windows]."""

    stable: Floats
    stable_events: Floats
    candidate: Floats
    candidate_events: Floats
    aside: npt.NDArray[np.bool_]
    """Windows in which stable failed itself: they only count against a decision."""

    def since(self, first: int) -> "Arms":
        """Without the windows before `first`."""
        parts = (self.stable, self.stable_events, self.candidate, self.candidate_events, self.aside)
        return Arms(*(part[..., first:] for part in parts))  # type: ignore[arg-type]


def failing(requests: npt.ArrayLike, errors: npt.ArrayLike, usual: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Whether stable itself fails: five errors or more, and a share above twice the usual plus 5%."""
    n, e = np.asarray(requests, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    result: npt.NDArray[np.bool_] = (e >= 5) & (e > n * (0.05 + 2 * np.asarray(usual)))
    return result


def log_harm(arms: Arms, dispersion: npt.ArrayLike) -> Floats:
    """Against `the candidate has at most stable's rate`, after each window."""
    return log_e_process(*_pairs(arms), null=1.0, alternatives=HARMFUL, dispersion=dispersion, aside=arms.aside)


def log_harmless(arms: Arms, dispersion: npt.ArrayLike, *, margin: float, usual: float) -> Floats:
    """Against `the candidate has margin times stable's rate or more`, after each window.

    Where stable has no traffic, as at the end of blue-green, the candidate is compared with stable's `usual` share of
    the hour before. Windows of one kind and of the other are different windows, so the product is an e-process too.
    """
    compared = log_e_process(*_pairs(arms), null=margin, alternatives=HARMLESS, dispersion=dispersion, aside=arms.aside)
    return compared + _alone(arms, dispersion, bound=margin * usual, shares={0.0: 0.1, 0.25: 0.2, 1 / margin: 0.7})


def log_harmless_errors(arms: Arms, dispersion: npt.ArrayLike, spec: RolloutSpec, usual: float) -> Floats:
    """Against `the errors are margin times stable's or more, and margin times the floor or more`.

    Either e-process is one for both together, and so is their mean: the second decides where there are hardly errors.
    """
    margin, floor = spec.errors.margin, spec.errors.floor
    relative = log_harmless(arms, dispersion, margin=margin, usual=max(usual, floor))
    absolute = log_rate_e_process(
        (arms.candidate, arms.candidate_events), bound=margin * floor, dispersion=dispersion, aside=arms.aside
    )
    return average(relative, absolute)


def log_hard(arms: Arms, dispersion: npt.ArrayLike, usual: float) -> Floats:
    """Against `the candidate has at most HARD_RATIO times stable's rate`, after each window, warm-up included."""
    compared = log_e_process(*_pairs(arms), null=HARD_RATIO, alternatives=HARD, dispersion=dispersion, aside=arms.aside)
    return compared + _alone(arms, dispersion, bound=HARD_RATIO * usual, shares=HARD_SHARES)


def latency_margin(reference: Reference) -> float:
    """The margin of latency as a ratio of the shares of slow answers; infinite if latency has no reference."""
    return reference.slow.ratio if reference.slow else float("inf")


def _pairs(arms: Arms) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    return (arms.candidate, arms.candidate_events), (arms.stable, arms.stable_events)


def _alone(arms: Arms, dispersion: npt.ArrayLike, *, bound: float, shares: Mapping[float, float]) -> Floats:
    alone = arms.stable == 0
    requests, events = np.where(alone, arms.candidate, 0.0), np.where(alone, arms.candidate_events, 0.0)
    return log_rate_e_process((requests, events), bound=bound, shares=shares, dispersion=dispersion, aside=arms.aside)
