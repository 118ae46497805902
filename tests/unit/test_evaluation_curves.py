import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from fairlead.evaluation import choose_threshold, precision_recall_curve, roc_curve

few = settings(max_examples=25, deadline=None)
rows = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 10)), min_size=2, max_size=40).filter(
    lambda drawn: 0 < sum(label for label, _ in drawn) < len(drawn)
)


def unpack(drawn):
    labels, tenths = (np.array(column) for column in zip(*drawn, strict=True))
    return labels, tenths / 10


def many(size=20_000):
    rng = np.random.default_rng(1)
    scores = rng.beta(2, 5, size)
    return (rng.random(size) < scores).astype(int), scores


@given(drawn=rows)
@few
def test_unthinned_curves_are_scikit_learns(drawn):
    y, scores = unpack(drawn)
    roc = roc_curve(y, scores)
    expected = sklearn_metrics.roc_curve(y, scores, drop_intermediate=False)
    np.testing.assert_allclose(
        (roc.false_positive_rate, roc.true_positive_rate, roc.thresholds), np.array(expected), rtol=1e-12
    )
    curve = precision_recall_curve(y, scores)
    precision, recall, thresholds = sklearn_metrics.precision_recall_curve(y, scores)
    np.testing.assert_allclose(curve.precision, precision[-2::-1])
    np.testing.assert_allclose(curve.recall, recall[-2::-1])
    np.testing.assert_allclose(curve.thresholds, thresholds[::-1])


def test_long_curves_are_thinned_without_losing_their_ends_or_their_area():
    y, scores = many()
    roc = roc_curve(y, scores)
    assert 150 < len(roc.thresholds) <= 200
    assert (roc.false_positive_rate[0], roc.true_positive_rate[0]) == (0, 0)
    assert (roc.false_positive_rate[-1], roc.true_positive_rate[-1]) == (1, 1)
    area = sklearn_metrics.auc(roc.false_positive_rate, roc.true_positive_rate)
    assert area == pytest.approx(sklearn_metrics.roc_auc_score(y, scores), abs=1e-3)
    curve = precision_recall_curve(y, scores, max_points=50)
    assert len(curve.thresholds) <= 50
    assert curve.recall[-1] == 1
    assert curve.precision[-1] == y.mean()


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_no_roc_curve(label):
    assert roc_curve([label, label], [0.1, 0.2]).thresholds == ()


def test_no_positives_have_no_precision_recall_curve():
    assert precision_recall_curve([0, 0], [0.1, 0.2]).thresholds == ()


def test_a_curve_needs_two_points():
    with pytest.raises(ValueError, match="max_points must be at least 2, but is 1"):
        roc_curve([0, 1], [0.1, 0.2], max_points=1)


def f1(y, flagged):
    return 2 * (y * flagged).sum() / (y.sum() + flagged.sum())


def youden(y, flagged):
    return flagged[y == 1].mean() - flagged[y == 0].mean()


@pytest.mark.parametrize(("rule", "quality"), [("max_f1", f1), ("youden", youden)])
@given(drawn=rows)
@few
def test_no_threshold_is_better_than_the_chosen_one(rule, quality, drawn):
    y, scores = unpack(drawn)
    chosen = quality(y, scores >= choose_threshold(y, scores, rule=rule))
    assert chosen >= max(quality(y, scores >= threshold) for threshold in np.arange(0, 1.1, 0.1)) - 1e-12


def test_of_equally_good_thresholds_the_highest_is_chosen():
    assert choose_threshold([1, 0, 0, 1], [0.9, 0.7, 0.5, 0.3], rule="youden") == pytest.approx(0.8)
    assert choose_threshold([1, 0, 1, 1], [0.8, 0.6, 0.4, 0.2]) == pytest.approx(0.1)


def test_rounding_the_scores_to_float32_flips_no_decision():
    y, scores = many(2000)
    threshold = choose_threshold(y, scores)
    assert ((scores >= threshold) == (scores.astype(np.float32) >= threshold)).all()
    assert threshold not in scores


def test_the_order_of_rows_does_not_matter():
    y, scores = many(500)
    assert choose_threshold(y, scores) == choose_threshold(y[::-1], scores[::-1])


@pytest.mark.parametrize(("y", "rule"), [([0, 0], "max_f1"), ([0, 0], "youden"), ([1, 1], "youden")])
def test_a_threshold_needs_the_classes_of_its_rule(y, rule):
    with pytest.raises(ValueError, match=f"rule '{rule}' needs both classes"):
        choose_threshold(y, [0.1, 0.2], rule=rule)


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="rule must be 'max_f1' or 'youden', but is 'best'"):
        choose_threshold([0, 1], [0.1, 0.2], rule="best")
