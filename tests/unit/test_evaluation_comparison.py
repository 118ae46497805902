import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from fairlead.evaluation import METRICS, compare
from fairlead.evaluation.comparison import delong

few = settings(max_examples=20, deadline=None)
rows = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 10), st.integers(0, 10)), min_size=4, max_size=30).filter(
    lambda drawn: 2 <= sum(label for label, *_ in drawn) <= len(drawn) - 2
)


def logistic(x):
    return 1 / (1 + np.exp(-x))


def models(rng, size, champion_noise=1.0, challenger_noise=1.0):
    """Labels, and two models that see the same signal through noise of their own."""
    signal = rng.normal(0, 1.5, size)
    y = (rng.random(size) < logistic(signal - 0.5)).astype(int)
    champion, challenger = (
        logistic(signal + rng.normal(0, noise, size)) for noise in (champion_noise, challenger_noise)
    )
    return y, champion, challenger


def unpack(drawn):
    y, champion, challenger = (np.array(column) for column in zip(*drawn, strict=True))
    return y, champion / 10, challenger / 10


@given(drawn=rows)
@few
def test_delong_is_what_its_definition_says_pair_by_pair(drawn):
    y, *scores = unpack(drawn)
    wins = [
        (model[y == 1][:, None] > model[y == 0]) + (model[y == 1][:, None] == model[y == 0]) / 2 for model in scores
    ]
    by_positive, by_negative = (np.cov([win.mean(axis=axis) for win in wins]) for axis in (1, 0))
    aucs, covariance = delong(y, scores)
    np.testing.assert_allclose(aucs, [METRICS["roc_auc"].function(y, model) for model in scores])
    np.testing.assert_allclose(covariance, by_positive / y.sum() + by_negative / (1 - y).sum(), atol=1e-12)


def test_delong_and_the_bootstrap_agree_on_the_spread():
    y, champion, challenger = models(np.random.default_rng(2), 2000, challenger_noise=1.3)
    by_delong = compare(y, champion, challenger, metric="roc_auc", margin=0, seed=1).interval
    by_rows = compare(y, champion, challenger, metric="roc_auc", margin=0, seed=1, groups=np.arange(2000)).interval
    assert by_delong.method == "DeLong"
    assert by_rows.method == "paired bootstrap of groups"
    assert by_rows.value == pytest.approx(by_delong.value)
    assert by_rows.high - by_rows.low == pytest.approx(by_delong.high - by_delong.low, rel=0.1)


def test_p_values_of_equal_models_are_uniform_by_delong():
    rng = np.random.default_rng(5)
    found = [compare(*models(rng, 250), metric="roc_auc", margin=0, seed=1).p_value for _ in range(250)]
    assert kstest(found, "uniform").pvalue > 0.01


def test_p_values_of_equal_models_are_uniform_over_few_days():
    rng = np.random.default_rng(6)
    day = np.repeat(np.arange(7), 30)
    found = [
        compare(*models(rng, 210), metric="log_loss", margin=0, seed=seed, groups=day, replicates=150).p_value
        for seed in range(200)
    ]
    assert kstest(found, "uniform").pvalue > 0.01


def test_the_interval_of_the_difference_holds_the_truth_over_days_that_favour_one_model():
    rng = np.random.default_rng(8)
    day = np.repeat(np.arange(8), 50)
    held = []
    for seed in range(200):
        y = (rng.random(400) < 0.3).astype(int)
        champion = np.full(400, 0.3)
        challenger = np.clip(champion + rng.normal(0, 0.05, 8)[day] * (2 * y - 1), 0.01, 0.99)
        interval = compare(
            y, champion, challenger, metric="brier", margin=0, seed=seed, groups=day, replicates=150
        ).interval
        held.append(interval.low <= -(0.05**2) <= interval.high)
    assert np.mean(held) >= 0.90


@pytest.mark.parametrize(
    ("challenger_noise", "margin", "verdict"),
    [(0.3, 0.0, "better"), (0.3, 0.1, "better"), (2.5, 0.0, "worse"), (2.5, 0.6, "not_worse"), (1.0, 0.1, "not_worse")],
)
@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_verdicts_go_by_where_the_interval_lies(metric, challenger_noise, margin, verdict):
    y, champion, challenger = models(np.random.default_rng(4), 3000, challenger_noise=challenger_noise)
    comparison = compare(y, champion, challenger, metric=metric, margin=margin, seed=1)
    assert comparison.verdict == verdict
    assert comparison.margin == margin


def test_few_rows_leave_it_undecided():
    y, champion, challenger = models(np.random.default_rng(4), 60, challenger_noise=1.2)
    assert compare(y, champion, challenger, metric="roc_auc", margin=0.0, seed=1).verdict == "undecided"


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision", "log_loss", "brier", "expected_calibration_error"])
@pytest.mark.parametrize("groups", [None, np.arange(300) % 7])
@pytest.mark.parametrize("margin", [0.0, 0.01])
def test_a_model_is_not_worse_than_itself(metric, groups, margin):
    y, scores, _ = models(np.random.default_rng(4), 300)
    comparison = compare(y, scores, scores, metric=metric, margin=margin, seed=1, groups=groups, replicates=50)
    assert comparison.verdict == "not_worse"
    assert (comparison.difference, comparison.interval.low, comparison.interval.high) == (0, 0, 0)
    assert comparison.p_value == 1


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision", "brier"])
@given(drawn=rows)
@few
def test_swapping_the_models_turns_the_sign_only(metric, drawn):
    y, champion, challenger = unpack(drawn)
    one = compare(y, champion, challenger, metric=metric, margin=0, seed=1, replicates=20)
    other = compare(y, challenger, champion, metric=metric, margin=0, seed=1, replicates=20)
    assert (one.champion, one.challenger) == (other.challenger, other.champion)
    assert one.difference == pytest.approx(-other.difference)
    assert one.interval.low == pytest.approx(-other.interval.high)
    assert one.p_value == pytest.approx(other.p_value)


@given(drawn=rows)
@few
def test_the_interval_holds_zero_exactly_when_the_p_value_is_above_the_risk(drawn):
    comparison = compare(*unpack(drawn), metric="brier", margin=0, seed=1, replicates=50)
    ends = comparison.interval.low, comparison.interval.high
    if min(abs(end) for end in ends) > 1e-9:
        assert (ends[0] < 0 < ends[1]) == (comparison.p_value > 0.05)


def test_a_positive_difference_is_better_also_where_lower_is_better():
    comparison = compare([0, 1] * 20, [0.4, 0.6] * 20, [0.1, 0.9] * 20, metric="brier", margin=0, seed=1)
    assert comparison.difference == pytest.approx(0.16 - 0.01)
    assert comparison.verdict == "better"
    assert comparison.p_value == 0


@pytest.mark.parametrize("y", [[0, 0, 0, 0], [1, 0, 0, 0]])
def test_too_few_of_a_class_leave_auc_undecided(y):
    comparison = compare(y, [0.1, 0.2, 0.3, 0.4], [0.4, 0.2, 0.3, 0.1], metric="roc_auc", margin=0.1, seed=1)
    assert comparison.verdict == "undecided"
    assert math.isnan(comparison.p_value)


def test_a_single_day_leaves_it_undecided():
    y, champion, challenger = models(np.random.default_rng(4), 300, challenger_noise=3.0)
    comparison = compare(y, champion, challenger, metric="roc_auc", margin=0, seed=1, groups=["monday"] * 300)
    assert comparison.verdict == "undecided"
    assert comparison.difference < 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"metric": "base_rate"}, "'base_rate' describes the rows"),
        ({"metric": "auc"}, "no metric 'auc'"),
        ({"margin": -0.1}, "margin must be finite and not negative, but is -0.1"),
        ({"level": 1.0}, r"level must be within \(0, 1\), but is 1.0"),
        ({"metric": "brier", "level": 0.0}, r"level must be within \(0, 1\), but is 0.0"),
        ({"groups": [1]}, "groups must be one value a row"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        compare([0, 1], [0.2, 0.4], [0.3, 0.5], **{"metric": "roc_auc", "margin": 0.0, "seed": 1} | wrong)
