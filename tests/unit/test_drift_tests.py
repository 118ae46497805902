"""The tests of drift: right without a change, strong with one, and safe on odd columns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from fairlead.drift.chi_square import chi_square
from fairlead.drift.classifier import classifier
from fairlead.drift.correction import holm
from fairlead.drift.ks import ks
from fairlead.drift.missing import missing
from fairlead.drift.mmd import mmd
from fairlead.drift.psi import psi


def normal(draw, rows):
    return draw.standard_normal(rows)


def categories(draw, rows):
    return draw.choice(np.array(["AA", "B6", "EV", "UA"], dtype=object), rows, p=[0.4, 0.3, 0.2, 0.1])


def gaps(draw, rows):
    return np.where(draw.random(rows) < 0.1, np.nan, 0.0)


NUMBERS = [ks, psi]
COLUMNS = [(ks, normal), (psi, normal), (chi_square, categories), (missing, gaps)]


def p_values(test, make, times, reference, window):
    draw = np.random.default_rng(5)
    return np.array([test(make(draw, reference), make(draw, window)).p_value for _ in range(times)])


@pytest.mark.parametrize(("test", "make"), COLUMNS, ids=["ks", "psi", "chi_square", "missing"])
def test_p_values_are_uniform_where_nothing_changed(test, make):
    found = p_values(test, make, 1000, 5000, 1000)
    assert 0.03 <= np.mean(found < 0.05) <= 0.07
    if test is not missing:  # its p-values are of whole counts
        assert stats.kstest(found, "uniform").pvalue > 0.001


@pytest.mark.parametrize("test", [mmd, classifier])
def test_p_values_of_rows_are_uniform_where_nothing_changed(test):
    draw = np.random.default_rng(5)
    found = [test(draw.standard_normal((200, 4)), draw.standard_normal((150, 4)), seed).p_value for seed in range(100)]
    assert np.mean(np.array(found) < 0.1) <= 0.18
    assert stats.kstest(found, "uniform").pvalue > 0.001


def test_a_shift_of_a_fifth_of_a_deviation_among_thirty_columns_is_found():
    draw = np.random.default_rng(5)
    found = 0
    for _ in range(100):
        shifts = np.where(np.arange(30) == 0, 0.2, 0.0)
        each = {
            str(index): ks(draw.standard_normal(10_000), draw.standard_normal(1000) + shift).p_value
            for index, shift in enumerate(shifts)
        }
        found += holm(each)["0"] < 0.05
    assert found >= 90  # 0.96 by Bonferroni in alibi-detect 0.11.4


def test_a_tenth_of_the_rows_in_another_category_is_found():
    draw = np.random.default_rng(5)
    found = 0
    for _ in range(100):
        window = categories(draw, 1000)
        window[draw.random(1000) < 0.1] = "UA"
        found += chi_square(categories(draw, 10_000), window).p_value < 0.05 / 30
    assert found == 100


def test_rows_together_show_what_no_column_shows():
    draw = np.random.default_rng(5)
    correlated = draw.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 2000)
    apart = draw.standard_normal((1000, 2))
    assert min(ks(correlated[:, index], apart[:, index]).p_value for index in (0, 1)) > 0.01
    assert mmd(correlated, apart).p_value < 0.01
    assert classifier(correlated, apart).p_value < 0.01


def test_the_classifier_sees_another_scale():
    draw = np.random.default_rng(5)
    wider = [classifier(draw.standard_normal((5000, 10)), 1.3 * draw.standard_normal((1000, 10))) for _ in range(5)]
    assert all(found.p_value < 0.05 for found in wider)


def test_mmd_looks_at_a_thousand_rows_of_each_side_at_most_and_repeats_itself():
    draw = np.random.default_rng(5)
    old, new = draw.standard_normal((20_000, 5)), draw.standard_normal((20_000, 5)) + 0.3
    assert mmd(old, new, 7) == mmd(old, new, 7)
    assert mmd(old, new, 7).p_value == 1 / 400


@pytest.mark.parametrize("test", [ks, psi, chi_square])
def test_missing_values_hide_nothing(test):
    draw = np.random.default_rng(5)
    if test is chi_square:
        old, new, gap = categories(draw, 5000), np.full(1000, "AA", dtype=object), None
    else:
        old, new, gap = normal(draw, 5000), normal(draw, 1000) + 1, np.nan
    for column in (old, new):
        column[::7] = gap
    assert test(old, new).p_value < 1e-6


@pytest.mark.parametrize("test", [ks, psi, chi_square])
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_too_few_values_say_nothing(test, rows):
    values = np.zeros(rows) if test is not chi_square else np.full(rows, "a", dtype=object)
    other = np.zeros(100) if test is not chi_square else np.full(100, "a", dtype=object)
    assert test(other, values) is None
    assert test(values, other) is None


@pytest.mark.parametrize("test", NUMBERS)
def test_a_column_that_is_all_missing_says_nothing(test):
    assert test(np.full(100, np.nan), np.zeros(100)) is None


def test_a_constant_column_has_not_drifted():
    found = ks(np.ones(5000), np.ones(1000))
    assert (found.p_value, found.effect) == (1.0, 0.0)
    assert psi(np.ones(5000), np.ones(1000)) is None
    assert chi_square(np.full(500, "a", dtype=object), np.full(100, "a", dtype=object)) is None


def test_a_new_category_counts_as_a_change():
    old, new = np.full(5000, "EWR", dtype=object), np.full(1000, "EWR", dtype=object)
    new[:60] = "XXX"
    found = chi_square(old, new)
    assert found.p_value < 1e-9
    assert 0 < found.effect < 1


def test_rare_categories_are_counted_together():
    draw = np.random.default_rng(5)

    def tail(draw, rows):
        return np.array([f"N{number}" for number in draw.integers(0, 3000, rows)], dtype=object)

    found = [chi_square(tail(draw, 3000), tail(draw, 800)) for _ in range(50)]
    assert all(item is None or item.p_value > 1e-4 for item in found)


def test_missing_says_in_which_direction():
    draw = np.random.default_rng(5)
    more = missing(gaps(draw, 5000), np.full(1000, np.nan))
    assert more.p_value < 1e-9
    assert more.effect == pytest.approx(0.9, abs=0.02)
    assert missing(np.zeros(5000), np.zeros(1000)).p_value == 1.0


def test_psi_knows_how_many_rows_it_saw():
    draw = np.random.default_rng(5)
    few = [psi(normal(draw, 5000), normal(draw, 100)) for _ in range(200)]
    assert np.mean([item.effect > 0.1 for item in few]) > 0.2  # what the usual bound would call drift
    assert np.mean([item.p_value < 0.05 for item in few]) < 0.1


numbers = hnp.arrays(
    np.float64, st.integers(0, 60), elements=st.one_of(st.floats(-1e6, 1e6), st.just(np.nan), st.just(0.0))
)


@settings(max_examples=300, deadline=None)
@given(numbers, numbers)
def test_no_numbers_break_a_test(old, new):
    for test in (ks, psi, missing):
        found = test(old, new)
        assert found is None or (0 <= found.p_value <= 1 and np.isfinite(found.effect))


words = st.lists(st.one_of(st.none(), st.sampled_from("abcdef"), st.text(max_size=3)), max_size=60)


@settings(max_examples=300, deadline=None)
@given(words, words)
def test_no_categories_break_a_test(old, new):
    first, second = np.array(old, dtype=object), np.array(new, dtype=object)
    for test in (chi_square, missing):
        found = test(first, second)
        assert found is None or (0 <= found.p_value <= 1 and -1 <= found.effect <= 1)


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), min_size=1, max_size=20))
def test_holm_is_between_the_p_values_and_bonferroni_and_keeps_their_order(values):
    adjusted = holm(values)
    assert list(adjusted) == list(values)
    for name, value in values.items():
        assert value <= adjusted[name] <= min(1.0, len(values) * value) + 1e-12
    order = sorted(values, key=values.get)
    assert [adjusted[name] for name in order] == sorted(adjusted.values())


def test_holm_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
