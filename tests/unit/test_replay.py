"""A year lived through again: nothing of the future is seen, and a killed walk goes on."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fairlead.adapters.delta_records import DeltaRecords
from fairlead.adapters.retraining_log import MemoryLog
from fairlead.demo.evenings import Evenings, folders_of
from fairlead.errors import TrainingError
from fairlead.lineage.digest import hash_file
from fairlead.panels.recording import Recording
from fairlead.replay.compare import evenly, month_starts, result, with_shares
from fairlead.replay.learn import Trained
from fairlead.replay.walk import Day, Platform, Scheduled, Walk
from fairlead.retraining.brakes import read_state
from fairlead.retraining.desk import Desk
from tests.unit import replay_example as example
from tests.unit.replay_example import FIRST, LAST

AS_OF = datetime(2024, 3, 20, tzinfo=UTC)


def platform(folder: Path, models: Path, rows: pd.DataFrame | None = None) -> Walk:
    trainer, log, records = example.trainer(models, rows), MemoryLog(), DeltaRecords(str(folder))
    desk = Desk(trainer.model.name, trainer.model.retraining, log)
    return Walk(trainer, Platform(trainer, records, desk), folder / "platform.jsonl", log, records)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained once for all tests of this file."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def lived(models: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Day]:
    return platform(tmp_path_factory.mktemp("walk"), models).days(FIRST, LAST)


def retrained(days: list[Day]) -> list[tuple[date, str]]:
    return [(day.day, day.retraining.trigger) for day in days if day.retraining is not None]


def test_a_decay_is_found_on_labels_and_a_retrained_model_takes_over(lived: list[Day]) -> None:
    found = retrained(lived)
    assert found
    day, trigger = found[0]
    assert trigger == "decay"
    assert example.TURN.date() <= day <= example.TURN.date() + timedelta(days=5)
    assert lived[-1].version != lived[0].version
    gaps = [day.promised - day.live for day in lived if day.live is not None and day.promised is not None]
    assert max(gaps) > 0.05 > gaps[-1]


def test_the_platform_beats_a_model_that_is_left_alone(lived: list[Day], models: Path, tmp_path: Path) -> None:
    trainer = example.trainer(models)
    alone = Walk(trainer, Scheduled(trainer, frozenset()), tmp_path / "static.jsonl", MemoryLog()).days(FIRST, LAST)
    year = trainer.year
    found = with_shares(
        {name: result(name, days, year) for name, days in (("static", alone), ("monthly", lived), ("platform", lived))}
    )
    shares = {item.name: item.share for item in found}
    assert shares == {"static": 0.0, "monthly": 1.0, "platform": 1.0}
    assert {day.version for day in alone} == {"2024-03-20"}


def test_a_walk_that_was_killed_goes_on_and_ends_the_same(lived: list[Day], models: Path, tmp_path: Path) -> None:
    half = platform(tmp_path, models).days(FIRST, FIRST + timedelta(days=13))
    file = tmp_path / "platform.jsonl"
    # Killed while it wrote a line, after the records of that day.
    file.write_bytes(file.read_bytes()[:-40])
    rest = platform(tmp_path, models).days(FIRST, LAST)
    assert rest[:13] == half[:13]
    assert rest == lived
    records = DeltaRecords(str(tmp_path)).read("trip-delay", FIRST, LAST)
    assert len(records) == len(set(records["id"].to_pylist())) == sum(len(day.scores) for day in lived)


def test_nothing_sees_a_future_that_was_planted(lived: list[Day], models: Path, tmp_path: Path) -> None:
    """From the evening of the first retraining on everything is another world: what came before stays to the byte."""
    day = retrained(lived)[0][0]
    cut = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    rows = example.frame()
    later = rows["label_known_at"] > cut
    rows.loc[later, "label"] = 1 - rows.loc[later, "label"]
    rows.loc[rows["event_timestamp"] >= cut, example.example.FEATURES] = -1000.0
    again = platform(tmp_path / "walk", tmp_path / "models", rows).days(FIRST, day + timedelta(days=1))[:-1]
    before = [item for item in lived if item.day <= day]
    assert _without_places(again) == _without_places(before)
    for mine, theirs in ((again[0], before[0]), (again[-1], before[-1])):
        assert hash_file(mine.champion.folder / "model.onnx") == hash_file(theirs.champion.folder / "model.onnx")


def _without_places(days: list[Day]) -> list[Day]:
    nowhere = Path("bundle")
    return [day.model_copy(update={"champion": day.champion.model_copy(update={"folder": nowhere})}) for day in days]


def test_a_row_that_is_asked_about_brings_no_label_along() -> None:
    asked = example.year().asked_on(FIRST)
    assert len(asked) == example.ROWS_A_DAY
    assert not {"label", "label_known_at"} & set(asked.columns)


def test_a_training_set_holds_only_labels_that_were_known() -> None:
    rows = example.year().training_set(AS_OF, example.model().split).rows
    assert (rows["label_known_at"] <= AS_OF).all()
    assert (rows["event_timestamp"] < AS_OF).all()


def test_an_empty_day_is_lived_through(models: Path, tmp_path: Path) -> None:
    rows = example.frame()
    empty = rows["event_timestamp"].dt.date == date(2024, 3, 22)
    days = platform(tmp_path, models, rows[~empty].reset_index(drop=True)).days(FIRST, FIRST + timedelta(days=3))
    assert [len(day.scores) for day in days] == [120, 120, 0, 120]


def test_a_retraining_that_fails_three_times_backs_off(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = platform(tmp_path, models)
    spec = walk.trainer.model.retraining.model_copy(
        update={"retry_after": timedelta(hours=1), "cool_down": timedelta(0)}
    )
    assert isinstance(walk.policy, Platform)
    walk.policy.desk = replace(walk.policy.desk, spec=spec)
    train = type(walk.trainer).train

    def broken(trainer: object, as_of: datetime, champion: Trained | None) -> Trained:
        if champion is None:
            return train(trainer, as_of, champion)  # type: ignore[arg-type]
        raise TrainingError("the pipeline is broken")

    monkeypatch.setattr(type(walk.trainer), "train", broken)
    days = walk.days(FIRST, LAST)
    failed = [day.retraining for day in days if day.retraining is not None]
    assert 1 <= len(failed) <= 4
    assert all(item.why == "the pipeline is broken" and not item.accepted for item in failed)
    assert read_state(walk.log.read("trip-delay")).failures == len(failed)
    assert {day.version for day in days} == {"2024-03-20"}


def test_rows_are_chosen_by_a_column_that_is_there() -> None:
    assert set(example.year().where("origin", ("JFK",)).rows["origin"]) == {"JFK"}
    with pytest.raises(TrainingError, match="no row has origin in LGA"):
        example.year().where("origin", ("LGA",))
    with pytest.raises(TrainingError, match=r"no column .orgin..*origin"):
        example.year().where("orgin", ("LGA",))


def test_nothing_is_retrained_on_the_last_evening(lived: list[Day], models: Path, tmp_path: Path) -> None:
    day = retrained(lived)[0][0]
    assert platform(tmp_path, models).days(FIRST, day)[-1].retraining is None


def test_policies_by_the_calendar() -> None:
    first, last = date(2013, 3, 1), date(2013, 12, 31)
    assert sorted(month_starts(first, last)) == [date(2013, month, 1) for month in range(4, 13)]
    days = sorted(evenly(first, last, 6))
    gaps = {(later - day).days for day, later in zip([first, *days], [*days, date(2014, 1, 1)], strict=True)}
    assert (len(days), gaps) == (6, {43, 44})


def test_a_month_of_one_class_has_no_measure() -> None:
    rows = example.frame()
    rows.loc[rows["event_timestamp"].dt.month == 4, "label"] = 0.0
    days = [
        Day(
            day=FIRST + timedelta(days=number),
            version="1",
            scores=tuple(np.linspace(0, 1, example.ROWS_A_DAY)),
            champion=Trained(version="1", as_of=AS_OF, folder=Path(), accepted=True, reasons=(), test_roc_auc=0.7),
        )
        for number in range((LAST - FIRST).days + 1)
    ]
    found = result("static", days, example.year(rows))
    assert found.periods[date(2024, 4, 1)] is None
    assert found.mean == found.periods[date(2024, 3, 1)]


def told(lived: list[Day], walk: Path, models: Path) -> Recording:
    trainer = example.trainer(models)
    records = DeltaRecords(str(walk))
    return Evenings(trainer.year, trainer.model, example.example.dataset(), records, folders_of(lived)).recording(lived)


def test_an_evening_is_told_by_what_was_there_by_then(models: Path, tmp_path: Path) -> None:
    """Looked at when all days are over, and when only the first ones are: the same, series by series."""
    days = platform(tmp_path, models).days(FIRST, LAST)
    half = 12
    early = platform(tmp_path / "half", models).days(FIRST, FIRST + timedelta(days=half))
    whole, part = told(days, tmp_path, models), told(early, tmp_path / "half", models)
    for name, series in part.series.items():
        for labels, one in series.items():
            all_of_it = whole.series[name][labels]
            assert (all_of_it.times[: len(one.times)], all_of_it.values[: len(one.values)]) == (one.times, one.values)
    assert part.series.keys() >= {"fairlead_live_roc_auc", "fairlead_drift_alarm", "fairlead_retraining_state"}
    assert len(part.instants()) == pytest.approx(4 * half, abs=4)


def test_what_evenings_tell_is_what_was_lived_through(models: Path, tmp_path: Path) -> None:
    days = platform(tmp_path, models).days(FIRST, LAST)
    [starts] = [
        series
        for labels, series in told(days, tmp_path, models).series["fairlead_retraining_requests_total"].items()
        if ("trigger", "decay") in labels and ("answer", "started") in labels
    ]
    assert starts.values[-1] == sum(trigger == "decay" for _, trigger in retrained(days))
    assert starts.values == sorted(starts.values)
