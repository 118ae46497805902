import math

import numpy as np
import pytest

from fairlead.evaluation import METRICS, bootstrap


def calibrated(rng, rows):
    scores = rng.beta(2, 5, rows)
    return (rng.random(rows) < scores).astype(int), scores


def days_of_their_own_luck(rng, days, rows_a_day):
    """Each day shifts all its labels, so its rows resemble each other."""
    day = np.repeat(np.arange(days), rows_a_day)
    chance = 1 / (1 + np.exp(1.4 - rng.normal(0, 1, days)[day]))
    return (rng.random(len(day)) < chance).astype(int), np.full(len(day), 0.2), day


def share_holding(truth, intervals):
    return np.mean([interval.low <= truth <= interval.high for interval in intervals])


def test_intervals_hold_the_truth_about_as_often_as_they_claim():
    rng = np.random.default_rng(7)
    truths = {name: METRICS[name].function(*calibrated(rng, 200_000)) for name in ("roc_auc", "brier")}
    found = [bootstrap(*calibrated(rng, 250), truths, replicates=200, seed=seed) for seed in range(150)]
    for name, truth in truths.items():
        assert 0.90 <= share_holding(truth, [intervals[name] for intervals in found]) <= 0.985


def test_seven_days_suffice_when_days_are_drawn_but_not_when_rows_are():
    rng = np.random.default_rng(3)
    truth = days_of_their_own_luck(rng, 100_000, 1)[0].mean()
    by_day, by_row = [], []
    for seed in range(200):
        y, scores, day = days_of_their_own_luck(rng, 7, 60)
        by_day += bootstrap(y, scores, ["base_rate"], replicates=300, seed=seed, groups=day).values()
        by_row += bootstrap(y, scores, ["base_rate"], replicates=100, seed=seed).values()
    assert share_holding(truth, by_day) >= 0.88
    assert share_holding(truth, by_row) <= 0.60


@pytest.mark.parametrize("rows", [300, 2000])
def test_the_calibration_error_of_a_calibrated_model_may_be_zero(rows):
    rng = np.random.default_rng(11)
    name = "expected_calibration_error"
    found = [bootstrap(*calibrated(rng, rows), [name], replicates=100, seed=seed)[name] for seed in range(60)]
    assert share_holding(0.0, found) >= 0.85
    assert all(interval.low <= interval.value <= interval.high for interval in found)


def test_the_calibration_error_of_a_miscalibrated_model_is_shown():
    y, scores = calibrated(np.random.default_rng(1), 3000)
    interval = bootstrap(y, scores / 2, ["expected_calibration_error"], seed=1)["expected_calibration_error"]
    assert interval.low > 0.1


def test_an_interval_says_how_it_was_made():
    y, scores = calibrated(np.random.default_rng(1), 200)
    interval = bootstrap(y, scores, ["brier"], replicates=50, level=0.9, seed=1)["brier"]
    assert (interval.method, interval.level, interval.replicates) == ("bootstrap of rows", 0.9, 50)
    assert interval.value == pytest.approx(METRICS["brier"].function(y, scores))
    assert interval.low < interval.value < interval.high
    by_group = bootstrap(y, scores, ["brier"], seed=1, groups=["a", "b"] * 100)["brier"]
    assert by_group.method == "bootstrap of groups"


def test_the_same_seed_gives_the_same_interval_whatever_other_metrics_are_asked_for():
    y, scores = calibrated(np.random.default_rng(1), 200)
    alone = bootstrap(y, scores, ["roc_auc"], seed=5)["roc_auc"]
    assert bootstrap(y, scores, METRICS, seed=5)["roc_auc"] == alone
    assert bootstrap(y, scores, ["roc_auc"], seed=6)["roc_auc"] != alone


def test_groups_of_one_row_each_are_rows():
    y, scores = calibrated(np.random.default_rng(1), 200)
    by_row = bootstrap(y, scores, ["roc_auc"], seed=5)["roc_auc"]
    by_group = bootstrap(y, scores, ["roc_auc"], seed=5, groups=np.arange(200))["roc_auc"]
    assert (by_group.low, by_group.high) == (by_row.low, by_row.high)


def test_a_single_group_has_no_interval():
    interval = bootstrap([0, 1, 1], [0.1, 0.6, 0.4], ["roc_auc"], seed=1, groups=["monday"] * 3)["roc_auc"]
    assert interval.value == 1
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_resamples_of_one_class_are_left_out_and_counted():
    interval = bootstrap([0, 0, 0, 1], [0.1, 0.6, 0.4, 0.5], ["roc_auc"], replicates=200, seed=1)["roc_auc"]
    assert 0 < interval.replicates < 200
    assert 0 <= interval.low <= interval.high <= 1


def test_an_undefined_metric_has_no_interval():
    interval = bootstrap([0, 0, 0], [0.1, 0.6, 0.4], ["roc_auc"], seed=1)["roc_auc"]
    assert math.isnan(interval.value)
    assert math.isnan(interval.low)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"metrics": ["auc"]}, "no metric 'auc'"),
        ({"groups": ["a"]}, r"groups must be one value a row, but are of shape \[1\] for 2 rows"),
        ({"replicates": 1}, "replicates must be at least 2, but is 1"),
        ({"level": 95}, r"level must be within \(0, 1\), but is 95"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        bootstrap([0, 1], [0.2, 0.4], **{"metrics": ["brier"], "seed": 1} | wrong)
