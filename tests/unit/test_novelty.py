"""Novelty: rows beyond what a model was fitted to."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.drift.novelty import novelty, ranges


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_without_a_change_hardly_any_row_is_novel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fitted, week = rng.standard_normal((20_000, 40)), rng.standard_normal((5_000, 40))
    assert novelty(ranges(fitted), week) < 0.12  # 40 columns, two thousandths each


def test_rows_of_a_warmer_season_are_novel_until_it_was_learnt() -> None:
    rng = np.random.default_rng(0)
    winter, summer = rng.normal(35, 10, (5_000, 1)), rng.normal(80, 8, (5_000, 1))
    assert novelty(ranges(winter), summer) > 0.9
    assert novelty(ranges(np.vstack([winter, summer])), summer) < 0.01


def test_missing_values_and_empty_columns_are_not_novel() -> None:
    ends = ranges(np.array([[1.0, np.nan], [2.0, np.nan]]))
    assert novelty(ends, np.array([[np.nan, 5.0], [1.5, np.nan]])) == 0
    assert novelty(ends, np.empty((0, 2))) == 0
    assert novelty(ends, np.array([[3.0, np.nan], [1.5, 1.0]])) == 0.5


def test_one_odd_reading_does_not_widen_the_range() -> None:
    fitted = np.append(np.linspace(0, 100, 10_000), 1_048.0)[:, None]
    assert novelty(ranges(fitted), np.full((10, 1), 500.0)) == 1
