"""Are the candidate's answers as good as stable's? A paired test on the same records, valid at every look.

**Data.** For record i both versions have a loss in [0, 1]: 0 for a right answer and 1 for a wrong one, or a squared
error of a probability. D_i = loss of the candidate - loss of stable, within [-1, 1]. Pairing removes what makes a
record hard for both.

**E-processes, by betting.** `harm` tests E[D] <= 0 with capital Π (1 + λ D_i), 0 <= λ < 1. `harmless` tests
E[D] >= margin with capital Π (1 + λ (margin - D_i)), 0 <= λ < 1 / (1 - margin). Under its hypothesis no factor has an
expectation above 1 given the past, and none is negative: the capital is a supermartingale, and so is its average over
fixed bets λ. Ville's inequality then bounds the chance that it ever reaches 1/α by α (Waudby-Smith & Ramdas 2024,
"Estimating means of bounded random variables by betting", JRSS-B 86, sections 3 and 4; Shafer 2021, "Testing by
betting", JRSS-A 184, section 2). Nothing is assumed of the distribution but that records, or groups, follow one another
without a promise about the next: for 0/1 losses, `harm` is the binomial likelihood ratio on the pairs that differ,
the sequential form of McNemar's test.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Literal

import numpy as np
import numpy.typing as npt

from fairlead.errors import RolloutError
from fairlead.rollout.ratio import Floats

ALPHA = 0.05
BETS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.55, 0.8)
"""Shares of the largest bet that is allowed, each with the same weight."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What the pairs so far say."""

    verdict: Literal["worse", "not_worse", "undecided"]
    pairs: int
    """Records that both versions answered and whose label is known, or groups of records, or blocks of them."""
    stable_loss: float
    candidate_loss: float
    margin: float
    log_harm: float
    """The largest so far: a crossing counts whether or not somebody looked."""
    log_harmless: float

    def __str__(self) -> str:
        return (
            f"quality: mean loss {self.candidate_loss:.4f} against stable's {self.stable_loss:.4f} on {self.pairs} "
            f"pairs, margin {self.margin:g}; e = {exp(min(self.log_harm, 700)):.3g} for harm and "
            f"{exp(min(self.log_harmless, 700)):.3g} for no harm, decided at {1 / ALPHA:g}"
        )


def judge_quality(
    stable_losses: npt.ArrayLike,
    candidate_losses: npt.ArrayLike,
    *,
    margin: float,
    groups: Sequence[object] | None = None,
) -> Quality:
    """Judge the pairs in the order in which their labels arrived.

    Args:
        stable_losses: within [0, 1], shape [n].
        candidate_losses: of the same records.
        margin: mean difference that would be harm.
        groups: of each record, such as a customer or a day. Records of a group share their luck, so a group counts
            once, with its mean losses, at the place of its first record.

    Raises:
        RolloutError: the losses are not of one length, or not within [0, 1].
    """
    stable, candidate = np.asarray(stable_losses, dtype=np.float64), np.asarray(candidate_losses, dtype=np.float64)
    if stable.shape != candidate.shape or stable.ndim != 1:
        raise RolloutError(f"losses must be pairs, but there are {stable.size} of stable and {candidate.size}")
    if not all(((part >= 0) & (part <= 1)).all() for part in (stable, candidate)):
        raise RolloutError("losses must be within [0, 1]: scale them, or count wrong answers")
    if groups is not None:
        stable, candidate = _group_means(stable, groups), _group_means(candidate, groups)
    difference = candidate - stable
    harm, harmless = log_capital(difference, 1.0), log_capital(margin - difference, 1 / (1 - margin))
    log_harm, log_harmless = float(np.max(harm, initial=0.0)), float(harmless[-1]) if harmless.size else 0.0
    crossed = -log(ALPHA)
    return Quality(
        verdict="worse" if log_harm >= crossed else "not_worse" if log_harmless >= crossed else "undecided",
        pairs=int(difference.size),
        stable_loss=float(stable.mean()) if stable.size else 0.0,
        candidate_loss=float(candidate.mean()) if candidate.size else 0.0,
        margin=margin,
        log_harm=log_harm,
        log_harmless=log_harmless,
    )


def log_capital(gains: Floats, largest_bet: float) -> Floats:
    """Logarithm of the mean capital after each gain, shape [..., n], over `BETS` of the largest bet."""
    steps = [np.cumsum(np.log1p(share * largest_bet * gains), axis=-1) for share in BETS]
    capital: Floats = np.logaddexp.reduce(np.stack(steps), axis=0) - log(len(BETS))
    return capital


def _group_means(losses: Floats, groups: Sequence[object]) -> Floats:
    places: dict[object, int] = {}
    code = np.array([places.setdefault(group, len(places)) for group in groups], dtype=np.intp)
    if code.size != losses.size:
        raise RolloutError(f"groups must be one for each record, but are {code.size} for {losses.size}")
    means: Floats = np.bincount(code, weights=losses) / np.bincount(code)
    return means
