import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.evaluation import METRICS, measure
from fairlead.spec.model import LOWER_IS_BETTER
from fairlead.spec.model import METRICS as DECLARABLE

few = settings(max_examples=20, deadline=None)
rows = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20), st.integers(0, 3)), min_size=1, max_size=40).filter(
    lambda drawn: any(weight for *_, weight in drawn)
)


def unpack(drawn):
    labels, twentieths, weights = (np.array(column) for column in zip(*drawn, strict=True))
    return labels, twentieths / 20, weights


def test_values_are_those_worked_out_by_hand():
    values = measure([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    assert values["roc_auc"] == pytest.approx(3 / 4)
    assert values["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert values["log_loss"] == pytest.approx(-np.log([0.9, 0.6, 0.35, 0.8]).mean())
    assert values["brier"] == pytest.approx((0.01 + 0.16 + 0.4225 + 0.04) / 4)
    assert values["expected_calibration_error"] == pytest.approx((0.1 + abs(1 - 0.75) + 0.2) / 4)
    assert values["base_rate"] == 0.5


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
@given(drawn=rows)
@few
def test_a_weight_counts_as_that_many_repetitions(metric, drawn):
    y, scores, weights = unpack(drawn)
    repeated = metric.function(np.repeat(y, weights), np.repeat(scores, weights))
    assert metric.function(y, scores, weights) == pytest.approx(repeated, nan_ok=True)


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
@given(drawn=rows)
@few
def test_many_weightings_at_once_give_what_each_gives_alone(metric, drawn):
    y, scores, weights = unpack(drawn)
    weightings = np.stack([weights, weights[::-1], np.ones_like(weights)]).astype(float)
    alone = [metric.function(y, scores, weighting) for weighting in weightings]
    np.testing.assert_allclose(metric.reweighted(y.astype(float), scores, weightings), alone, atol=1e-12)
    assert metric.unweighted(y.astype(float), scores) == pytest.approx(alone[-1], nan_ok=True)


@given(drawn=rows, power=st.sampled_from([0.3, 2.0, 5.0]))
@few
def test_ranking_metrics_see_only_the_order_of_scores(drawn, power):
    y, scores, weights = unpack(drawn)
    for name in ("roc_auc", "average_precision"):
        before, after = (METRICS[name].function(y, moved, weights) for moved in (scores, scores**power))
        assert after == pytest.approx(before, nan_ok=True)


@given(drawn=rows)
@few
def test_auc_of_reversed_scores_is_its_complement(drawn):
    y, scores, weights = unpack(drawn)
    reversed_auc = METRICS["roc_auc"].function(y, 1 - scores, weights)
    assert reversed_auc == pytest.approx(1 - METRICS["roc_auc"].function(y, scores, weights), nan_ok=True)


@pytest.mark.parametrize("label", [0, 1])
def test_auc_of_one_class_is_undefined_and_not_an_error(label):
    assert math.isnan(METRICS["roc_auc"].function([label, label], [0.2, 0.7]))


def test_a_class_that_weighs_nothing_is_absent():
    assert math.isnan(METRICS["roc_auc"].function([0, 1], [0.2, 0.7], [1, 0]))
    assert math.isnan(METRICS["average_precision"].function([0, 1], [0.2, 0.7], [1, 0]))


def test_log_loss_of_a_certain_and_wrong_score_is_large_but_finite():
    assert 30 < METRICS["log_loss"].function([1], [0.0]) < 40


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_no_rows_are_refused(metric):
    with pytest.raises(ValueError, match="there are no rows"):
        metric.function([], [])


@pytest.mark.parametrize(
    ("y", "scores", "weights", "message"),
    [
        ([0, 2], [0.1, 0.2], None, r"labels must be 0 or 1, but 1 of 2 are not \(row 1: 2.0\)"),
        ([0, None], [0.1, 0.2], None, "labels must be 0 or 1"),
        ([0, 1], [0.1, 1.5], None, r"scores must be within \[0, 1\], but 1 of 2 are not \(row 1: 1.5\)"),
        ([0, 1], [math.nan, 0.5], None, r"scores must be within \[0, 1\]"),
        ([0, 1], [0.5], None, "of one length, but are 2 and 1"),
        ([0, 1], [[0.5, 0.5]], None, r"scores must be of shape \[n\], but are of shape \[1, 2\]"),
        ([0, 1], [0.5, 0.5], [1], "weights must be one a row, but are 1 for 2 rows"),
        ([0, 1], [0.5, 0.5], [1, -1], "weights must be finite and not negative"),
        ([0, 1], [0.5, 0.5], [0, 0], "weights must not all be zero"),
    ],
)
def test_values_out_of_range_are_refused_by_rule_and_row(y, scores, weights, message):
    with pytest.raises(ValueError, match=message):
        METRICS["brier"].function(y, scores, weights)


def test_an_unknown_metric_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="no metric 'auc': choose from roc_auc, average_precision"):
        measure([0, 1], [0.1, 0.2], metrics=["auc"])


def test_every_metric_a_model_file_may_name_exists_and_points_the_same_way():
    assert set(DECLARABLE) <= set(METRICS)
    assert {name for name, metric in METRICS.items() if metric.higher_is_better is False} == LOWER_IS_BETTER
