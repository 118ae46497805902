"""Periods and folds in time: where they begin and end, and that no label is learnt from before it was known."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.errors import TrainingError
from fairlead.spec.model import SplitSpec
from fairlead.training.splits import Fold, Periods, days_before, expanding_folds, midnight

NEW_YORK = "America/New_York"
SPLIT = SplitSpec(train_days=60, validation_days=7, test_days=7)
MAY = datetime(2013, 5, 1, tzinfo=UTC)
WEEKS = Periods(MAY, MAY + timedelta(days=14), MAY + timedelta(days=21), MAY + timedelta(days=28))
MICROSECOND = timedelta(microseconds=1)
MINUTES = 28 * 24 * 60


def instants(*moments: datetime | None) -> "pd.Series[pd.Timestamp]":
    return pd.Series(pd.to_datetime(list(moments), utc=True))


def assign(asked_at: datetime, known_at: datetime | None) -> str | None:
    return WEEKS.assign(instants(asked_at), instants(known_at)).iloc[0]


def folds_of(asked_hours: list[float], waits: list[float], *, folds: int, days: int) -> list[Fold]:
    asked = [MAY + timedelta(hours=hour) for hour in asked_hours]
    known = [moment + timedelta(hours=wait) for moment, wait in zip(asked, waits, strict=True)]
    return list(expanding_folds(instants(*asked), instants(*known), folds=folds, days=days))


def test_the_periods_lie_one_behind_the_other_and_end_at_the_time_of_the_run():
    periods = Periods.before(datetime(2013, 7, 1, 4, tzinfo=UTC), SPLIT, NEW_YORK)
    bounds = [periods.bounds(name) for name in ("train", "validation", "test")]
    assert [end for _, end in bounds[:-1]] == [start for start, _ in bounds[1:]]
    assert [(end - start).days for start, end in bounds] == [60, 7, 7]
    assert bounds[-1][1] == datetime(2013, 7, 1, 4, tzinfo=UTC)


@pytest.mark.parametrize("day", [date(2013, 4, 1), date(2013, 3, 12), date(2013, 11, 5), date(2013, 7, 1)])
def test_every_period_begins_at_local_midnight_also_across_a_change_of_clocks(day: date):
    periods = Periods.before(midnight(day, NEW_YORK), SPLIT, NEW_YORK)
    starts = [periods.start, periods.validation, periods.test, periods.end]
    assert starts == [midnight(day - timedelta(days=days), NEW_YORK) for days in (74, 14, 7, 0)]


def test_a_week_with_a_change_of_clocks_is_an_hour_shorter_or_longer():
    spring, autumn = midnight(date(2013, 3, 13), NEW_YORK), midnight(date(2013, 11, 6), NEW_YORK)
    assert spring - days_before(spring, 7, NEW_YORK) == timedelta(hours=7 * 24 - 1)
    assert autumn - days_before(autumn, 7, NEW_YORK) == timedelta(hours=7 * 24 + 1)


def test_an_instant_is_said_in_iso_8601():
    assert WEEKS.describe("test") == "[2013-05-22T00:00:00+00:00, 2013-05-29T00:00:00+00:00)"


def test_a_row_belongs_to_the_period_in_which_it_was_asked():
    asked = [WEEKS.start, WEEKS.validation, WEEKS.test]
    assert [assign(moment, moment + timedelta(hours=3)) for moment in asked] == ["train", "validation", "test"]


def test_a_period_holds_its_start_and_not_its_end():
    assert assign(WEEKS.validation - MICROSECOND, WEEKS.validation) == "train"
    assert assign(WEEKS.validation, WEEKS.validation) == "validation"
    assert assign(WEEKS.start - MICROSECOND, WEEKS.start) is None
    assert assign(WEEKS.end - MICROSECOND, WEEKS.end) == "test"
    assert assign(WEEKS.end, WEEKS.end) is None


def test_a_label_known_just_at_the_end_of_its_period_counts_and_a_later_one_does_not():
    asked = WEEKS.test - timedelta(hours=1)
    assert assign(asked, WEEKS.test) == "validation"
    assert assign(asked, WEEKS.test + MICROSECOND) is None


def test_a_row_whose_label_never_became_known_belongs_nowhere():
    assert assign(WEEKS.start, None) is None


def test_periods_keep_the_index_of_the_rows():
    asked, known = instants(WEEKS.test, WEEKS.start), instants(WEEKS.test, WEEKS.start)
    asked.index = known.index = pd.Index([7, 3])
    assert WEEKS.assign(asked, known).to_dict() == {7: "test", 3: "train"}


@settings(max_examples=50, deadline=None)
@given(st.integers(-60, MINUTES + 60), st.none() | st.integers(0, 600))
def test_what_a_period_learns_was_known_when_the_next_one_begins(minute: int, wait: int | None):
    asked = MAY + timedelta(minutes=minute)
    known = None if wait is None else asked + timedelta(minutes=wait)
    bounds = {name: WEEKS.bounds(name) for name in ("train", "validation", "test")}
    right = [name for name, (start, end) in bounds.items() if start <= asked < end and known and known <= end]
    assert [assign(asked, known)] == (right or [None])


def test_the_judged_windows_lie_side_by_side_up_to_the_last_row():
    first, second = folds_of([24 * day for day in range(10)], [0] * 10, folds=2, days=3)
    assert np.flatnonzero(first.judge).tolist() == [4, 5, 6]
    assert np.flatnonzero(second.judge).tolist() == [7, 8, 9]


def test_each_fold_is_fitted_on_all_that_was_known_when_its_window_begins():
    first, second = folds_of([24 * day for day in range(10)], [1] * 10, folds=2, days=3)
    assert np.flatnonzero(first.fit).tolist() == [0, 1, 2]
    assert np.flatnonzero(second.fit).tolist() == [0, 1, 2, 3, 4, 5]


def test_a_label_that_became_known_inside_the_judged_window_is_not_fitted_on():
    (fold,) = folds_of([0, 12, 24, 48], [0, 48, 0, 0], folds=1, days=1)
    assert np.flatnonzero(fold.judge).tolist() == [3]
    assert np.flatnonzero(fold.fit).tolist() == [0, 2]


@pytest.mark.parametrize("hours", [[0, 10], [0, 5.9 * 24], [0, 0]])
def test_too_few_days_for_the_folds_are_refused(hours: list[float]):
    with pytest.raises(TrainingError, match="2 folds of 3 days need more than 6 days of training rows"):
        folds_of(hours, [0] * len(hours), folds=2, days=3)


@pytest.mark.parametrize(("hours", "waits"), [([0, 1, 240], [0, 0, 0]), ([95, 97, 240], [50, 0, 0])])
def test_a_window_without_rows_to_judge_or_to_fit_on_is_refused(hours: list[float], waits: list[float]):
    with pytest.raises(TrainingError, match=r"the judged window \[2013-05-05 .* needs rows in it and labels known"):
        folds_of(hours, waits, folds=2, days=3)


asked_and_waited = st.lists(st.tuples(st.floats(0, 400), st.floats(0, 100)), max_size=30)


@settings(max_examples=50, deadline=None)
@given(asked_and_waited, st.integers(1, 4), st.integers(1, 3))
def test_every_judged_window_is_later_than_every_label_that_was_fitted_on(
    rows: list[tuple[float, float]], folds: int, days: int
):
    daily = [(24.0 * day, 0.0) for day in range(20)]
    asked, waits = np.array(daily + rows).T
    found = folds_of(asked.tolist(), waits.tolist(), folds=folds, days=days)
    for fold in found:
        assert (asked + waits)[fold.fit].max() <= asked[fold.judge].min() + 1e-6
    assert sum(fold.judge.astype(int) for fold in found).max() == 1
