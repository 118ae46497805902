import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.evaluation import base_rate_baseline, best_single_feature
from fairlead.evaluation._bins import bin_of, quantile_edges


def signal_and_noise(rng, rows):
    noise, signal = rng.normal(size=(2, rows))
    y = (rng.random(rows) < 1 / (1 + np.exp(1 + 2 * signal))).astype(int)
    return np.stack([noise, signal], axis=1), y


def test_the_base_rate_is_learnt_from_the_training_rows_and_ranks_nothing():
    baseline = base_rate_baseline([0, 0, 0, 1], [1, 0])
    assert baseline.metrics["roc_auc"] == 0.5
    assert baseline.metrics["brier"] == pytest.approx((0.75**2 + 0.25**2) / 2)
    assert baseline.metrics["log_loss"] == pytest.approx(-(np.log(0.25) + np.log(0.75)) / 2)
    assert baseline.scores.tolist() == [0.25, 0.25]


def test_the_feature_that_ranks_best_is_found_though_it_points_downwards():
    rng = np.random.default_rng(1)
    (train, y), (test, y_test) = signal_and_noise(rng, 3000), signal_and_noise(rng, 3000)
    baseline = best_single_feature(train, y, test, y_test, ["noise", "signal"])
    assert baseline.feature == "signal"
    assert baseline.metrics["roc_auc"] > 0.8
    assert baseline.metrics["roc_auc"] == pytest.approx(baseline.train_roc_auc, abs=0.03)


def test_a_feature_that_bends_is_as_good_as_one_that_rises():
    x = np.linspace(-1, 1, 400)
    y = (np.abs(x) > 0.5).astype(int)
    assert best_single_feature(x[:, None], y, x[:, None], y, ["x"]).metrics["roc_auc"] > 0.98


def test_the_test_rows_have_no_say_in_the_choice():
    train, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), [0, 0, 1, 1]
    baseline = best_single_feature(train, y, train, [0, 1, 0, 1], ["first", "second"])
    assert (baseline.feature, baseline.train_roc_auc, baseline.metrics["roc_auc"]) == ("first", 1, 0.5)


def test_of_equally_good_features_the_first_is_chosen():
    train = np.array([[0, 0], [1, 1]])
    assert best_single_feature(train, [0, 1], train, [0, 1], ["first", "second"]).feature == "first"


def test_missing_values_score_the_base_rate_of_the_training_rows():
    train = np.array([[0.0], [1.0], [np.nan], [np.nan]])
    baseline = best_single_feature(train, [0, 1, 1, 1], [[np.nan], [0.0], [1.0]], [0, 1, 1], ["x"])
    assert baseline.scores.tolist() == [0.75, 0, 1]


def test_values_beyond_the_training_rows_fall_into_the_outermost_bins():
    train = np.arange(100.0)[:, None]
    baseline = best_single_feature(train, [0] * 50 + [1] * 50, [[-1e9], [1e9], [np.inf]], [0, 1, 1], ["x"])
    assert baseline.scores.tolist() == [0, 1, 1]


def test_a_feature_without_any_value_is_no_better_than_the_base_rate():
    missing = np.full((4, 1), np.nan)
    baseline = best_single_feature(missing, [0, 1, 0, 1], missing, [0, 1, 0, 1], ["x"])
    assert baseline.metrics["roc_auc"] == 0.5


@given(st.lists(st.integers(0, 60), min_size=1, max_size=200), st.integers(1, 25))
@settings(max_examples=60, deadline=None)
def test_no_quantile_bin_is_empty_and_few_values_have_their_own(drawn, bins):
    values = np.array(drawn, dtype=float)
    codes = bin_of(values, quantile_edges(values, bins))
    assert set(codes) == set(range(codes.max() + 1))
    assert len(set(codes)) <= bins
    if len(set(drawn)) <= bins:
        assert len(set(codes)) == len(set(drawn))


@pytest.mark.parametrize(
    ("train", "y", "names", "message"),
    [
        ([[1.0], [2.0]], [1, 1], ["x"], "training labels must hold both classes, but all 2 are 1"),
        ([[1.0], [2.0]], [0, 1], ["x", "z"], r"train must be of shape \[2, 2\] with features, but is \[2, 1\]"),
        (np.zeros((2, 0)), [0, 1], [], "with features"),
    ],
)
def test_what_cannot_be_fitted_is_refused(train, y, names, message):
    with pytest.raises(ValueError, match=message):
        best_single_feature(train, y, train, y, names)
