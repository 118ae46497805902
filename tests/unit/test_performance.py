"""Labels joined to predictions, and what is made of them."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead import metrics as catalogue
from fairlead.evaluation.metrics import METRICS
from fairlead.monitors.results import succeeded
from fairlead.performance.change import changes, log_losses
from fairlead.performance.decay import decay
from fairlead.performance.labels import Joined, join
from fairlead.performance.live import estimated_roc_auc, measure
from fairlead.performance.watch import figures, look
from fairlead.records.reading import PredictionData, PredictionEvent
from fairlead.records.record import EVENT_TYPE
from fairlead.records.rows import SCHEMA, to_table
from tests.unit import training_example as example

START = datetime(2013, 3, 1, tzinfo=UTC)
LONGEST = timedelta(days=2)


def predictions(*rows: tuple[str, str, float, float]) -> pd.DataFrame:
    """Key, version, hours after the start, score."""
    frame = pd.DataFrame(rows, columns=["key", "version", "hours", "score"])
    frame["asked_at"] = pd.to_datetime(START) + pd.to_timedelta(frame.pop("hours"), "h")
    return frame


def labels(*rows: tuple[str, float | None, float]) -> pd.DataFrame:
    """Key, value, hours after the start."""
    frame = pd.DataFrame(rows, columns=["key", "label", "hours"])
    frame["known_at"] = pd.to_datetime(START) + pd.to_timedelta(frame.pop("hours"), "h")
    return frame.astype({"label": "float64"})


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def states(joined: Joined) -> dict[str, str]:
    return dict(zip(joined.rows["key"], joined.rows["state"], strict=True))


def test_a_prediction_is_known_awaited_or_overdue() -> None:
    asked = predictions(("a", "1", 0, 0.2), ("b", "1", 1, 0.3), ("c", "1", 60, 0.4))
    joined = join(asked, labels(("a", 1, 5)), at(62), LONGEST)
    assert states(joined) == {"a": "known", "b": "overdue", "c": "awaited"}
    assert joined.counts("1") == {"known": 1, "awaited": 1, "overdue": 1, "early": 0}


def test_labels_that_never_arrive_are_overdue_and_judge_nothing() -> None:
    asked = predictions(*((f"k{n}", "1", float(n), 0.5) for n in range(100)))
    joined = join(asked, labels(*((f"k{n}", None, float(n)) for n in range(100))), at(500), LONGEST)
    assert joined.counts("1")["overdue"] == 100
    assert measure(joined.known(), "UTC", least_rows=2) is None
    assert decay(np.array([]), np.array([]), 0.01, 2) is None


def test_a_corrected_label_counts_from_when_it_was_corrected_and_is_told() -> None:
    asked, told = predictions(("a", "1", 0, 0.2)), labels(("a", 0, 5), ("a", 1, 9))
    before, after = join(asked, told, at(8), LONGEST), join(asked, told, at(9), LONGEST)
    assert (before.known()["label"].tolist(), before.conflicting) == ([0.0], 0)
    assert (after.known()["label"].tolist(), after.conflicting) == ([1.0], 1)


def test_two_values_of_one_moment_contradict_each_other_and_neither_counts() -> None:
    joined = join(predictions(("a", "1", 0, 0.2)), labels(("a", 0, 5), ("a", 1, 5)), at(99), LONGEST)
    assert (states(joined), joined.conflicting) == ({"a": "overdue"}, 1)


def test_the_same_label_twice_is_no_conflict() -> None:
    joined = join(predictions(("a", "1", 0, 0.2)), labels(("a", 1, 5), ("a", 1, 7)), at(9), LONGEST)
    assert (joined.known()["label"].tolist(), joined.conflicting) == ([1.0], 0)


def test_a_label_known_before_its_prediction_judges_nothing() -> None:
    joined = join(predictions(("a", "1", 5, 0.2)), labels(("a", 1, 4.99)), at(9), LONGEST)
    assert states(joined) == {"a": "early"}
    assert len(joined.known()) == 0


def test_a_request_that_was_repeated_counts_once_for_each_version() -> None:
    asked = predictions(("a", "1", 0, 0.2), ("a", "1", 1, 0.9), ("a", "2", 1, 0.7))
    joined = join(asked, labels(("a", 1, 5)), at(9), LONGEST)
    assert joined.known()[["version", "score"]].to_numpy().tolist() == [["1", 0.2], ["2", 0.7]]
    assert joined.versions == ["1", "2"]


moments = st.floats(0, 100, allow_nan=False)
any_predictions = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from("12"), moments, st.floats(0, 1)), min_size=1, max_size=20
)
any_labels = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from([0.0, 1.0, None]), moments), max_size=20)


@given(
    any_predictions, any_labels, st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from([0.0, 1.0]))), moments
)
@settings(max_examples=100, deadline=None)
def test_nothing_is_seen_before_it_is_known(asked, told, future, now) -> None:  # type: ignore[no-untyped-def]
    base, then = predictions(*asked), at(now)
    planted = labels(*told, *((key, value, now + 0.001 + n) for n, (key, value) in enumerate(future)))
    late = pd.concat([base, predictions(("z", "1", now + 1, 0.5))])
    seen, with_future = join(base, labels(*told), then, LONGEST), join(late, planted, then, LONGEST)
    pd.testing.assert_frame_equal(seen.rows, with_future.rows)
    assert seen.conflicting == with_future.conflicting
    known = seen.known()
    assert (known["known_at"] <= then).all()
    assert (known["known_at"] >= known["asked_at"]).all()


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_calibrated_scores_promise_what_they_reach(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.beta(1.2, 4, 20_000)
    drawn = (rng.random(20_000) < scores).astype(float)
    promised = estimated_roc_auc(scores)
    assert promised is not None
    assert abs(promised - METRICS["roc_auc"].unweighted(drawn, scores)) < 0.02


def test_a_promise_counts_ties_as_a_roc_auc_does() -> None:
    assert estimated_roc_auc(np.full(10, 0.3)) == pytest.approx(0.5)
    assert estimated_roc_auc(np.array([0.0, 1.0])) == pytest.approx(1.0)
    assert estimated_roc_auc(np.zeros(10)) is None


def test_a_promise_is_blind_to_labels_that_have_come_to_mean_the_opposite() -> None:
    rng = np.random.default_rng(1)
    scores = rng.beta(1.2, 4, 5000)
    turned = (rng.random(5000) < 1 - scores).astype(float)
    found = decay(turned, scores, threshold=0.015, least_rows=100)
    assert found is not None
    assert found.decayed
    assert found.promised > 0.65
    assert found.live < 0.4


def stream(rows: int, seed: int, change: int | None = None) -> pd.DataFrame:
    """A calibrated model of a rate of a quarter; from `change` on, the rate is higher by two fifths."""
    rng = np.random.default_rng(seed)
    scores = rng.beta(1.2, 4, rows)
    rates = scores.copy()
    if change is not None:
        rates[change:] = np.clip(scores[change:] * 1.6, 0, 1)
    known = pd.to_datetime(START) + pd.to_timedelta(np.arange(rows), "min")
    return pd.DataFrame({"label": (rng.random(rows) < rates).astype(float), "score": scores, "known_at": known})


def test_the_detectors_of_change_are_quiet_over_ten_thousand_labels_without_one() -> None:
    found = [change for seed in range(10) for change in changes(stream(10_000, seed))]
    assert sum(change.changed for change in found) <= 1, "at 20 streams"


def test_the_detectors_of_change_find_a_rise_within_some_thousand_labels() -> None:
    for seed in range(5):
        for change in changes(stream(10_000, seed, change=5_000)):
            assert change.changed, change
            assert change.at is not None
            assert change.at >= START + timedelta(minutes=4_500)


def test_a_fall_of_the_loss_is_no_alarm() -> None:
    rows = stream(10_000, 3, change=5_000).iloc[::-1].reset_index(drop=True)
    rows["known_at"] = rows["known_at"].sort_values().to_numpy()
    assert not next(change for change in changes(rows) if change.detector == "adwin").changed


def test_a_certain_score_that_was_wrong_costs_no_more_than_the_cap() -> None:
    assert log_losses(np.array([1.0, 0.0]), np.array([0.0, 0.0])).tolist() == [3.0, 0.0]


def test_live_metrics_have_intervals_over_days() -> None:
    rng = np.random.default_rng(5)
    scores = rng.beta(1.2, 4, 3000)
    asked = pd.to_datetime(START) + pd.to_timedelta(np.arange(3000) * 7, "min")
    frame = pd.DataFrame(
        {
            "label": (rng.random(3000) < scores).astype(float),
            "score": scores,
            "asked_at": asked,
            "known_at": asked + pd.Timedelta("3h"),
        }
    )
    found = measure(frame, "America/New_York", least_rows=1000)
    assert found is not None
    assert found.delay_seconds == (10_800, 10_800)
    auc = found.metrics["roc_auc"]
    assert auc.low < auc.value < auc.high
    assert measure(frame.head(999), "UTC", least_rows=1000) is None


def test_every_figure_of_performance_is_told_by_version() -> None:
    rng = np.random.default_rng(5)
    rows, spec = 3000, example.model()
    scores = rng.beta(1.2, 4, rows)
    hours = np.arange(rows) * 0.1
    records = to_table(
        [
            PredictionEvent(
                specversion="1.0",
                type=EVENT_TYPE,
                source="/models/m/1",
                id=str(number),
                time=at(hours[number]),
                data=PredictionData(
                    model="m", version="1", request_id=f"k{number}", rows=1, scores=[scores[number]],
                    decisions=[False], latency_ms=1, status=200,
                ),
            )
            for number in range(rows)
        ],
        START,
    )  # fmt: skip
    told = labels(*((f"k{n}", float(rng.random() < scores[n]), hours[n] + 3) for n in range(0, rows, 2)))
    found = look(records, told, spec, "UTC", at(rows * 0.1 + 4))
    assert [item.version for item in found.versions] == ["1"]
    version = found.versions[0]
    assert version.labels["known"] == rows / 2
    assert version.decay is not None
    assert not version.decay.decayed
    shown = figures("m", found).values
    always = {metric.name for metric in catalogue.PERFORMANCE} - {"fairlead_loss_change_timestamp_seconds"}
    assert always <= set(shown)
    overdue = next(iter(shown["fairlead_labels_overdue_ratio"]))
    assert overdue.value == pytest.approx(0.5, abs=0.1)
    assert succeeded("m", "performance", figures("m", found)).metrics


def test_without_records_there_is_nothing_but_the_time_of_the_run() -> None:
    found = look(SCHEMA.empty_table(), labels(("a", 1, 2)), example.model(), "UTC", at(5))
    assert found.versions == []
    assert set(figures("m", found).values) == {
        "fairlead_performance_last_run_timestamp_seconds", "fairlead_labels_conflicting_rows",
    }  # fmt: skip
