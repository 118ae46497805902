from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.evaluation import reliability_curve
from fairlead.evaluation.calibration import expected_calibration_error
from fairlead.evaluation.wilson import wilson_interval


def calibrated(rng, rows):
    scores = rng.beta(2, 5, rows)
    return (rng.random(rows) < scores).astype(int), scores


@pytest.mark.parametrize("strategy", ["quantile", "uniform"])
def test_the_bins_of_a_calibrated_model_hold_their_mean_score_about_as_often_as_claimed(strategy):
    rng = np.random.default_rng(1)
    held = [
        one.low <= one.mean_score <= one.high
        for _ in range(60)
        for one in reliability_curve(*calibrated(rng, 2000), strategy=strategy)
    ]
    assert 0.92 <= np.mean(held) <= 0.98


def test_quantile_bins_hold_about_as_many_rows_each():
    bins = reliability_curve(*calibrated(np.random.default_rng(1), 1000), bins=10)
    assert [one.rows for one in bins] == [100] * 10


def test_uniform_bins_without_rows_are_left_out():
    bins = reliability_curve([0, 1, 1], [0.05, 0.95, 1.0], strategy="uniform")
    assert [(one.rows, one.mean_score, one.observed_rate) for one in bins] == [(1, 0.05, 0), (2, 0.975, 1)]


def test_equal_scores_share_a_bin():
    bins = reliability_curve([0, 1] * 50, [0.2] * 90 + [0.7] * 10, bins=10)
    assert [(one.lowest_score, one.highest_score, one.rows) for one in bins] == [(0.2, 0.2, 90), (0.7, 0.7, 10)]


@given(
    st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=60),
    st.integers(1, 12),
    st.sampled_from(["quantile", "uniform"]),
)
@settings(max_examples=50, deadline=None)
def test_every_row_is_in_one_bin_and_bins_ascend(drawn, bins, strategy):
    y, scores = zip(*drawn, strict=True)
    curve = reliability_curve(y, scores, bins=bins, strategy=strategy)
    assert len(curve) <= bins
    assert sum(one.rows for one in curve) == len(y)
    assert all(left.highest_score < right.lowest_score for left, right in pairwise(curve))
    assert all(0 <= one.low <= one.observed_rate <= one.high <= 1 for one in curve)


def test_the_calibration_error_of_a_calibrated_model_shrinks_towards_zero():
    rng = np.random.default_rng(2)
    small, large = (expected_calibration_error(*calibrated(rng, rows)) for rows in (500, 200_000))
    assert large < 0.005 < small


def test_the_calibration_error_of_scores_half_as_high_as_they_should_be_is_the_gap():
    y, scores = calibrated(np.random.default_rng(2), 200_000)
    assert expected_calibration_error(y, scores / 2) == pytest.approx(scores.mean() / 2, abs=0.005)


def test_wilsons_interval_is_that_of_the_published_examples():
    """Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson_interval(29, 29) == pytest.approx((0.8830, 1), abs=5e-5)


@pytest.mark.parametrize(("positives", "rows"), [(1, 0), (-1, 3), (4, 3)])
def test_counts_that_cannot_be_are_refused(positives, rows):
    with pytest.raises(ValueError, match=f"are {positives} of {rows}"):
        wilson_interval(positives, rows)


def test_no_bins_are_refused():
    with pytest.raises(ValueError, match="bins must be at least 1, but is 0"):
        reliability_curve([0, 1], [0.1, 0.2], bins=0)
