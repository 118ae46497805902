"""The paired comparison of answers."""

from math import log

import numpy as np
import pytest

from fairlead.errors import RolloutError
from fairlead.rollout.quality import ALPHA, judge_quality, log_capital

RUNS, PAIRS = 2000, 3000


def losses(seed, stable, candidate, shared=0.5):
    """0/1 losses of shape [runs, pairs]; of stable's wrong answers a share is wrong in both."""
    rng = np.random.default_rng(seed)
    wrong = rng.random((RUNS, PAIRS)) < stable
    both = shared * stable
    chance = np.where(wrong, shared, (candidate - both) / (1 - stable))
    return wrong.astype(float), (rng.random((RUNS, PAIRS)) < chance).astype(float)


def test_equal_answers_are_called_worse_at_some_look_in_no_more_than_alpha_of_runs():
    stable, candidate = losses(1, 0.1, 0.1)
    crossed = (log_capital(candidate - stable, 1.0) >= -log(ALPHA)).any(-1)
    assert crossed.mean() <= ALPHA


def test_a_loss_at_the_margin_is_called_harmless_in_no_more_than_alpha_of_runs():
    stable, candidate = losses(2, 0.1, 0.12)
    crossed = (log_capital(0.02 - (candidate - stable), 1 / 0.98) >= -log(ALPHA)).any(-1)
    assert crossed.mean() <= ALPHA


def test_four_to_six_percent_wrong_is_found_in_3000_pairs():
    stable, candidate = losses(3, 0.04, 0.06)
    logs = log_capital(candidate - stable, 1.0)
    crossed = logs >= -log(ALPHA)
    assert crossed.any(-1).mean() >= 0.9
    assert np.median(np.where(crossed.any(-1), crossed.argmax(-1), PAIRS)) <= 1500


def test_verdicts():
    rng = np.random.default_rng(4)
    stable = (rng.random(3000) < 0.1).astype(float)
    better = np.where(rng.random(3000) < 0.2, 0.0, stable)
    worse = np.maximum(stable, rng.random(3000) < 0.05)
    assert judge_quality(stable, better, margin=0.02).verdict == "not_worse"
    assert judge_quality(stable, worse, margin=0.02).verdict == "worse"
    assert judge_quality(stable[:20], worse[:20], margin=0.02).verdict == "undecided"
    assert judge_quality([], [], margin=0.02).verdict == "undecided"


def test_a_group_counts_once():
    stable, candidate = np.zeros(400), np.ones(400)
    assert judge_quality(stable, candidate, margin=0.02).verdict == "worse"
    grouped = judge_quality(stable, candidate, margin=0.02, groups=["one customer"] * 400)
    assert (grouped.verdict, grouped.pairs) == ("undecided", 1)


@pytest.mark.parametrize(("stable", "candidate"), [([0.0], [0.0, 1.0]), ([2.0], [0.0]), ([np.nan], [0.0])])
def test_losses_that_are_no_pairs_within_0_and_1_are_refused(stable, candidate):
    with pytest.raises(RolloutError, match="losses must be"):
        judge_quality(stable, candidate, margin=0.02)
