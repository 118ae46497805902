"""Windows against a reference: comparable rows, one verdict, few false alarms."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.drift.detect import Rule, alarm, detect
from fairlead.drift.sample import Sample, match, newest_of_each_entity
from fairlead.drift.usual import usual_effects
from fairlead.errors import DriftError

HOUR = np.timedelta64(1, "h")
START = np.datetime64("2013-01-07T05:00:00", "us")  # midnight of a Monday in New York
ZONE = "America/New_York"
KINDS = {"speed": "input", "delays": "feature", "carrier": "input"}


def sample(draw, weeks, per_hour, start=START, shift=0.0, cycle=0.0):
    """So many rows in each hour of the week; `cycle` moves values by the hour of the day."""
    hours = np.repeat(np.arange(weeks * 168), per_hour)
    rows = len(hours)
    columns = {
        "speed": draw.standard_normal(rows) + shift + cycle * np.sin(hours % 24 / 24 * 2 * np.pi),
        "delays": np.where(draw.random(rows) < 0.05, np.nan, draw.standard_normal(rows)),
        "carrier": draw.choice(np.array(["AA", "UA", None], dtype=object), rows, p=[0.5, 0.45, 0.05]),
    }
    entities = np.array([f"N{number}" for number in range(rows)], dtype=object)
    return Sample(start + hours * HOUR, entities, columns)


def day(draw, **how):
    """A Wednesday some weeks later."""
    whole = sample(draw, 1, 20, start=START + 168 * 9 * HOUR, **how)
    return whole.take(np.flatnonzero((np.arange(len(whole)) // 20 // 24) == 2))


def test_a_window_like_the_reference_has_not_drifted():
    draw = np.random.default_rng(3)
    reference = sample(draw, 8, 20)
    verdicts = [detect(reference, day(draw), KINDS, Rule(), ZONE).verdict for _ in range(40)]
    assert verdicts.count("drift") <= 4
    assert "not enough data" not in verdicts


def test_a_shift_is_found_and_named_with_its_size():
    draw = np.random.default_rng(3)
    found = detect(sample(draw, 8, 20), day(draw, shift=0.4), KINDS, Rule(), ZONE)
    assert found.verdict == "drift"
    assert found.reason == "speed"
    assert [(item.column, item.kind, item.test) for item in found.drifted] == [("speed", "input", "ks")]
    assert found.drifted[0].evidence.effect > 0.1


def test_a_difference_that_is_significant_but_small_does_not_count():
    draw = np.random.default_rng(3)
    found = detect(sample(draw, 8, 200), sample(draw, 1, 200, shift=0.1), KINDS, Rule(), ZONE)
    assert found.verdict == "no drift"
    assert min(item.p_adjusted for item in found.findings if item.test == "ks") < 1e-6


def test_what_comes_with_the_hour_of_the_day_is_no_drift():
    draw = np.random.default_rng(3)
    reference = sample(draw, 8, 20, cycle=1.0)
    evening = day(draw, cycle=1.0)
    evening = evening.take(np.flatnonzero(np.arange(len(evening)) // 20 >= 12))
    assert detect(reference, evening, KINDS, Rule(), ZONE).verdict == "no drift"


def test_repeated_rows_of_an_entity_count_once():
    draw = np.random.default_rng(3)
    window = day(draw)
    repeated = Sample(
        np.tile(window.at, 5), np.tile(window.entities, 5), {k: np.tile(v, 5) for k, v in window.columns.items()}
    )
    assert len(newest_of_each_entity(repeated)) == len(window)
    assert detect(sample(draw, 8, 20), repeated, KINDS, Rule(), ZONE).rows == len(window)


def test_the_newest_row_of_an_entity_is_kept():
    at = START + np.array([2, 0, 1]) * HOUR
    found = newest_of_each_entity(Sample(at, np.array(["a", "a", "b"], dtype=object), {"x": np.array([2.0, 0.0, 1.0])}))
    assert found.columns["x"].tolist() == [2.0, 1.0]


def test_few_rows_are_no_basis_for_no_drift():
    draw = np.random.default_rng(3)
    window = day(draw)
    found = detect(sample(draw, 8, 20), window.take(np.arange(100)), KINDS, Rule(), ZONE)
    assert (found.verdict, found.reason) == ("not enough data", "100 of the 200 rows needed")
    assert detect(sample(draw, 8, 20), window.take(np.array([], dtype=int)), KINDS, Rule(), ZONE).rows == 0


def test_hours_that_the_reference_does_not_know_cannot_be_compared():
    draw = np.random.default_rng(3)
    reference = sample(draw, 1, 20)
    monday = reference.take(np.arange(20 * 24))
    found = detect(monday, day(draw), KINDS, Rule(), ZONE)
    assert found.verdict == "not enough data"
    assert "100% of the rows are at hours of the week" in found.reason


def test_more_missing_values_are_found_beside_the_values():
    draw = np.random.default_rng(3)
    window = day(draw)
    window.columns["delays"][:120] = np.nan
    found = detect(sample(draw, 8, 20), window, KINDS, Rule(), ZONE)
    assert [(item.column, item.test, item.kind) for item in found.drifted] == [("delays", "missing", "feature")]


def test_a_feature_that_is_missing_throughout_is_found():
    draw = np.random.default_rng(3)
    window = day(draw)
    window.columns["delays"][:] = np.nan
    assert detect(sample(draw, 8, 20), window, KINDS, Rule(), ZONE).reason == "delays"


@pytest.mark.parametrize("where", ["reference", "window"])
def test_a_column_that_is_not_there_is_an_error(where):
    draw = np.random.default_rng(3)
    samples = {"reference": sample(draw, 1, 1), "window": sample(draw, 1, 1)}
    del samples[where].columns["speed"]
    with pytest.raises(DriftError, match=f"the {where} must have the column 'speed'"):
        detect(samples["reference"], samples["window"], KINDS, Rule(), ZONE)


def test_columns_that_were_swapped_are_an_error_where_their_types_tell():
    draw = np.random.default_rng(3)
    window = sample(draw, 1, 1)
    swapped = Sample(window.at, window.entities, {**window.columns, "speed": window.columns["carrier"]})
    with pytest.raises(DriftError, match="column 'speed' must be numbers as in the reference, but is categories"):
        detect(sample(draw, 1, 1), swapped, KINDS, Rule(), ZONE)


def test_the_same_window_gives_the_same_verdict():
    draw = np.random.default_rng(3)
    reference, window = sample(draw, 8, 5), day(draw)
    assert detect(reference, window, KINDS, Rule(), ZONE) == detect(reference, window, KINDS, Rule(), ZONE)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 30))
def test_a_matched_reference_has_the_hours_of_the_window(seed, weeks, rows):
    draw = np.random.default_rng(seed)
    reference, window = sample(draw, weeks, 3), sample(draw, 1, 2)
    pair = match(reference, window.take(np.sort(draw.choice(len(window), rows, replace=False))), "UTC", seed)
    hours = [((item.at - START) // HOUR) % 168 for item in (pair.reference, pair.window)]
    old, new = (np.bincount(item.astype(int), minlength=168) for item in hours)
    assert pair.unmatched == 0
    assert ((old > 0) == (new > 0)).all()
    assert (old >= new).all()


@pytest.mark.parametrize(
    ("verdicts", "wanted"),
    [
        (["drift"] * 3, True),
        (["drift", "no drift", "drift", "no drift", "drift"], True),
        (["drift", "drift", "no drift", "no drift", "no drift"], False),
        (["drift"] * 3 + ["no drift"] * 3, False),
        (["drift", "not enough data", "drift", "not enough data", "not enough data", "drift"], True),
        (["not enough data"] * 9, False),
        ([], False),
    ],
)
def test_an_alarm_needs_three_of_the_last_five_windows(verdicts, wanted):
    assert alarm(verdicts, breaches=3, windows=5) is wanted


def days_apart(draw, days, per_hour=4, spread=0.5, shift=0.0):
    """Rows whose speed has a level of its own each day, as weather has."""
    hours = np.repeat(np.arange(days * 24), per_hour)
    level = draw.normal(0, spread, days)[hours // 24]
    entities = np.array([f"N{number}" for number in range(len(hours))], dtype=object)
    speed = draw.standard_normal(len(hours)) + level + shift
    return Sample(START + hours * HOUR, entities, {"speed": speed})


def days_of_drift(shift, usual, seed):
    """Of twenty."""
    draw = np.random.default_rng(seed)
    whole = days_apart(draw, 90)
    reference, rule = whole.take(np.flatnonzero(whole.at < START + 70 * 24 * HOUR)), Rule()
    if usual:
        rule = Rule(usual=usual_effects(reference, [{"speed": ("ks", "missing")}], timedelta(days=1), ZONE))
    found = []
    for number in range(70, 90):
        start = START + number * 24 * HOUR
        day = whole.take(np.flatnonzero((whole.at >= start) & (whole.at < start + 24 * HOUR)))
        moved = Sample(day.at, day.entities, {"speed": day.columns["speed"] + shift})
        least = Rule(usual=rule.usual, least_rows=50)
        found.append(detect(reference, moved, {"speed": "feature"}, least, ZONE).verdict)
    return found.count("drift")


def test_days_that_differ_from_each_other_anyway_are_no_drift_and_a_shift_beyond_that_is():
    seeds = (11, 12, 13, 14)
    assert sum(days_of_drift(0.0, False, seed) for seed in seeds) >= 40
    assert sum(days_of_drift(0.0, True, seed) for seed in seeds) <= 10
    assert sum(days_of_drift(2.0, True, seed) for seed in seeds) >= 72


def test_what_is_usual_is_not_known_from_a_few_windows():
    draw = np.random.default_rng(1)
    assert usual_effects(days_apart(draw, 5), [{"speed": ("ks",)}], timedelta(days=1), ZONE) == {}
