"""Quality of two arms of which each request meets one."""

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.rollout.blocks import block_means
from fairlead.rollout.quality import ALPHA, judge_quality

MARGIN = 0.02
RUNS = 400


def arms(rng, answers, share):
    return rng.random(answers) < share


def by_blocks(candidate, losses):
    return judge_quality(*block_means(candidate, losses), margin=MARGIN)


def verdicts(share, stable, candidate, answers=10_000, seed=1, runs=RUNS):
    """Of runs with 0/1 losses; a level may be a function of the time within [0, 1)."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(runs):
        drawn = arms(rng, answers, share)
        level = np.where(drawn, candidate, stable)
        found.append(by_blocks(drawn, (rng.random(answers) < level).astype(float)))
    return found


def at_some_look(found, name):
    """Share of the runs in which a look crossed: `log_harm` is the largest so far."""
    return np.mean([getattr(quality, name) >= -log(ALPHA) for quality in found])


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_equal_arms_are_called_worse_at_some_look_in_no_more_than_alpha_of_runs(share):
    assert at_some_look(verdicts(share, 0.2, 0.2), "log_harm") <= ALPHA


def test_neither_where_losses_rise_and_fall_all_the_time():
    for period in (40, 5000):
        waves = 0.6 * ((np.arange(10_000) % period) / period)
        assert at_some_look(verdicts(0.05, waves, waves), "log_harm") <= ALPHA


def test_nor_where_wrong_answers_are_known_later_than_right_ones():
    rng, crossed = np.random.default_rng(3), 0
    for _ in range(RUNS):
        drawn, losses = arms(rng, 10_000, 0.1), (rng.random(10_000) < 0.2).astype(float)
        known = np.argsort(np.arange(10_000) + rng.exponential(50 + 2000 * losses), kind="stable")
        crossed += by_blocks(drawn[known], losses[known]).verdict == "worse"
    assert crossed / RUNS <= ALPHA


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_a_candidate_at_the_margin_is_called_harmless_in_no_more_than_alpha_of_runs(share):
    found = verdicts(share, 0.2, 0.2 + MARGIN)
    assert np.mean([quality.verdict == "not_worse" for quality in found]) <= ALPHA


def test_a_planted_harm_is_found():
    for share, candidate, answers in ((0.5, 0.25, 20_000), (0.1, 0.3, 10_000), (0.5, 0.4, 1500)):
        found = verdicts(share, 0.2, candidate, answers, runs=60)
        assert np.mean([quality.verdict == "worse" for quality in found]) >= 0.9, (share, candidate)


def test_a_candidate_as_good_is_called_so():
    found = verdicts(0.5, 0.1, 0.1, 60_000, runs=40)
    assert np.mean([quality.verdict == "not_worse" for quality in found]) >= 0.8


def test_a_block_is_a_pair_of_means_and_one_that_lacks_an_arm_is_left_out():
    drawn = np.array([False, True, False, True, False, False, False, False], dtype=bool)
    stable, candidate = block_means(drawn, np.array([1.0, 1, 0, 0, 1, 1, 1, 1]))
    assert (stable.tolist(), candidate.tolist()) == ([0.5], [0.5])


def test_without_answers_there_are_no_pairs():
    assert by_blocks(np.zeros(0, dtype=bool), np.zeros(0)).verdict == "undecided"
    assert by_blocks(np.ones(100, dtype=bool), np.ones(100)).pairs == 0


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=200), st.data())
@settings(max_examples=200, deadline=None)
def test_later_answers_change_no_earlier_pair(answers, data):
    """So that looking more often, or stopping, changes nothing of what was seen."""
    drawn = np.array([arm for arm, _ in answers], dtype=bool)
    losses = np.array([loss for _, loss in answers])
    first = data.draw(st.integers(0, len(answers)))
    early, all_of_them = block_means(drawn[:first], losses[:first]), block_means(drawn, losses)
    for few, many in zip(early, all_of_them, strict=True):
        assert np.allclose(few, many[: len(few)])
        assert ((many >= 0) & (many <= 1)).all()


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=200))
@settings(deadline=None)
def test_losses_do_not_move_the_blocks(answers):
    drawn = np.array([arm for arm, _ in answers], dtype=bool)
    losses = np.array([loss for _, loss in answers])
    assert len(block_means(drawn, losses)[0]) == len(block_means(drawn, 1 - losses)[0])
