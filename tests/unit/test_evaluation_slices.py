import math

import numpy as np
import pytest

from fairlead.evaluation import METRICS, by_slice

Y = np.array([0, 1, 0, 1, 0, 0])
SCORES = np.array([0.2, 0.8, 0.6, 0.4, 0.1, 0.3])
ORIGIN = ["JFK", "JFK", "EWR", "EWR", "JFK", "LGA"]


def test_each_value_of_each_column_is_a_slice_in_order():
    results = by_slice(Y, SCORES, {"origin": ORIGIN, "carrier": ["UA"] * 6}, min_rows=2)
    assert [(one.column, one.value, one.rows) for one in results] == [
        ("origin", "EWR", 2),
        ("origin", "JFK", 3),
        ("origin", "LGA", 1),
        ("carrier", "UA", 6),
    ]


def test_a_slice_is_measured_on_its_rows_alone():
    ewr, jfk, _ = by_slice(Y, SCORES, {"origin": ORIGIN}, min_rows=1)
    assert (ewr.roc_auc, jfk.roc_auc) == (0, 1)
    assert (jfk.positives, jfk.base_rate) == (1, pytest.approx(1 / 3))
    assert jfk.mean_score == pytest.approx(1.1 / 3)
    assert jfk.metrics["brier"] == METRICS["brier"].function([0, 1, 0], [0.2, 0.8, 0.1])


def test_small_slices_are_reported_but_marked():
    results = by_slice(Y, SCORES, {"origin": ORIGIN}, min_rows=2)
    assert [one.enough_rows for one in results] == [True, True, False]


def test_auc_of_a_slice_with_one_class_is_undefined():
    lga = by_slice(Y, SCORES, {"origin": ORIGIN}, min_rows=1)[-1]
    assert math.isnan(lga.roc_auc)
    assert lga.base_rate == 0


def test_missing_values_are_a_slice():
    results = by_slice([0, 1], [0.1, 0.2], {"carrier": [None, "UA"]}, min_rows=1)
    assert [one.value for one in results] == ["None", "UA"]


def test_only_the_metrics_asked_for_are_measured():
    one = by_slice([0, 1], [0.1, 0.2], {"carrier": ["UA", "UA"]}, min_rows=1, metrics=["brier"])[0]
    assert list(one.metrics) == ["brier"]
    assert math.isnan(one.roc_auc)


def test_a_column_of_another_length_is_refused():
    with pytest.raises(ValueError, match="column 'origin' must have one value a row, but has 1 for 6"):
        by_slice(Y, SCORES, {"origin": ["JFK"]}, min_rows=1)
