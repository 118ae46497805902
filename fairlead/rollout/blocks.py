"""Losses of two arms of which each request met only one, as pairs for `judge_quality`.

**Blocks.** Labelled answers of both arms, in the order in which they became known, are cut into blocks. A block's size
is fixed before its first answer, by the arms of the answers before it. Each block is one pair: the mean loss of
stable's answers in it, and that of the candidate's. A block without one of the arms says nothing and is left out.

**Why the capital is a supermartingale.** Requests are given to arms by lot or by a hash, so that which of the n answers
of a block are the candidate's has nothing to do with their labels, nor with how late these came: given how many they
are, each choice of as many is equally likely. Let c_i and s_i be the losses that candidate and stable have, or would
have had, on request i. The mean over the candidate's answers then expects (c_1 + … + c_n) / n, that over stable's
(s_1 + … + s_n) / n, and the pair's difference D the mean effect in its block, whatever was known before (Neyman's
argument of 1923). Under "no worse" no factor 1 + λD expects more than 1; under "worse by the margin" no factor
1 + λ(margin - D). This is all that `quality.py` asks. Losses may rise and fall over the day, and neighbours may be
alike.

Tests of two samples in blocks, whose sizes may follow from the past alone, are those of Turner, Ly & Grünwald 2024,
"Generic E-variables for exact sequential k-sample tests that allow for optional stopping" (Journal of Statistical
Planning and Inference 230, 106116); bets on a difference of means those of Shekhar & Ramdas 2024, "Nonparametric
two-sample testing by betting" (IEEE Transactions on Information Theory 70). To end a block at the candidate's first
answer would be simpler, but that answer is then always the last one: it is a fair draw only where losses have no trend.

**What is not covered.** Where a user keeps an arm, the answers to one user are one draw and not several. Users with
very many requests make the risk larger than it says.
"""

from math import ceil

import numpy as np
import numpy.typing as npt

from fairlead.rollout.ratio import Floats

ANSWERS_OF_RARER = 2
"""That a block expects of the arm with fewer answers. With 1 a third of the blocks would lack it; with many there are
few pairs, and a bet is bounded however sure a pair is."""


def block_means(candidate: npt.NDArray[np.bool_], losses: Floats) -> tuple[Floats, Floats]:
    """Mean losses of stable and of the candidate in each whole block that has both.

    Args:
        candidate: whether the candidate gave the answer, in the order in which they became known; shape [n].
        losses: of the same answers.
    """
    seen = np.concatenate([[0], np.cumsum(candidate)])
    total = np.concatenate([[0.0], np.cumsum(losses)])
    of_candidate = np.concatenate([[0.0], np.cumsum(np.where(candidate, losses, 0.0))])
    ends = [0, *_ends(seen)]
    answers, candidates = np.diff(ends), np.diff(seen[ends])
    theirs, everybodys = np.diff(of_candidate[ends]), np.diff(total[ends])
    both = (candidates > 0) & (candidates < answers)
    stable = (everybodys - theirs)[both] / (answers - candidates)[both]
    # Differences of cumulative sums: rounding may leave a mean a hair outside.
    return np.clip(stable, 0, 1), np.clip(theirs[both] / candidates[both], 0, 1)


def _ends(seen: npt.NDArray[np.int_]) -> list[int]:
    """Where each whole block ends; `seen` are the candidate's answers among the first n."""
    ends: list[int] = []
    end = 0
    while True:
        share = (int(seen[end]) + 1) / (end + 2)
        end += ceil(ANSWERS_OF_RARER / min(share, 1 - share))
        if end >= len(seen):
            return ends
        ends.append(end)
