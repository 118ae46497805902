"""Batches: what is predicted, what is kept of it, and what happens when one is killed, repeated or fed nonsense."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fairlead.adapters.delta import DeltaTables
from fairlead.adapters.feast import FeastFeatures
from fairlead.errors import BundleError, FairleadError, HomeError, RegistryError, ScoringError, SourceError
from fairlead.packaging.session import ScoringSession
from fairlead.scoring.plan import BatchPlan
from fairlead.scoring.request import run_plan, surroundings
from fairlead.scoring.score import Predictions, score_batch
from fairlead.training.fit import as_columns
from tests.small_disk import largest_file
from tests.unit import scoring_example as example
from tests.unit.scoring_example import HOUR, NOON, Home

OUTPUT = "trips/predictions/trip-delay"
AT_NOON = NOON.isoformat()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return example.make(tmp_path_factory.mktemp("scoring"))


@pytest.fixture
def home(made: Home) -> Iterator[Home]:
    """The home, without what the test before has scored."""
    yield made
    shutil.rmtree(Path(made.settings.tables_uri, "trips", "predictions"), ignore_errors=True)
    shutil.rmtree(Path(made.settings.tables_uri).parent / "scoring", ignore_errors=True)


class Killed(BaseException):
    """As if the process ended."""


def run(home: Home, plan: BatchPlan, chunk: int = 500, stop_after: int | None = None) -> Predictions:
    """Score in small chunks, and end as if killed after some rows."""

    def tell(done: int, total: int, rate: float) -> None:
        if stop_after is not None and done >= stop_after:
            raise Killed

    return score_batch(plan, surroundings(plan, home.settings), tell, chunk)


def expected(home: Home, frame: pd.DataFrame) -> np.ndarray:
    """The scores of rows that say when they are asked about, by the join that training uses."""
    session = ScoringSession.open(home.bundle)
    store = FeastFeatures(home.settings, "trips")
    asked = frame.rename(columns={"asked_at": "event_timestamp"})
    versions = {"trips/features/weather": 0, "trips/features/network": 0}
    joined = store.historical("trip_v1", asked, versions)
    return session.scores(session.bundle.signature.matrix(as_columns(joined, session.bundle.signature)))


# What comes out.


def test_every_row_has_the_score_of_what_was_known_when_it_was_asked_about(home: Home, tmp_path: Path) -> None:
    frame = example.asked(2_300)
    result = run(home, home.plan(example.write(frame, tmp_path / "rows.parquet")))
    found = home.predictions(OUTPUT, 0)
    scores = expected(home, frame)
    assert len(np.unique(scores)) > 500
    assert np.abs(found["score"].to_numpy() - scores).max() <= 1e-6
    assert found["decision"].to_pylist() == (scores >= 0.5).tolist()
    assert (result.rows, result.yes, result.output_version) == (2_300, int((scores >= 0.5).sum()), 0)


def test_predictions_name_their_row_the_model_and_the_times(home: Home, tmp_path: Path) -> None:
    frame = example.asked(700)
    run(home, home.plan(example.write(frame, tmp_path / "rows.parquet")))
    found = home.predictions(OUTPUT, 0)
    own = ["id", "origin", "row", "asked_at", "score", "decision", "model", "version", "scored_at"]
    assert found.column_names == own
    assert str(found.schema.field("score").type) == "float"
    assert found["id"].to_pylist() == frame["id"].tolist()
    assert found["origin"].to_pylist() == frame["origin"].tolist()
    assert found["asked_at"].to_pandas().tolist() == frame["asked_at"].tolist()
    assert set(zip(found["model"].to_pylist(), found["version"].to_pylist(), strict=True)) == {("trip-delay", "1")}
    assert len(found["scored_at"].unique()) == 1


def test_the_commit_says_what_the_predictions_were_made_from(home: Home, tmp_path: Path) -> None:
    plan = home.plan(example.write(example.asked(10), tmp_path / "rows.parquet"))
    run(home, plan)
    notes = home.tables.notes(OUTPUT, 0)
    assert (notes["fairlead.model"], notes["fairlead.version"]) == ("trip-delay", "1")
    assert notes["fairlead.bundle"] == plan.bundle
    assert (notes["fairlead.input"], notes["fairlead.input_digest"]) == (plan.source, plan.source_digest)
    assert json.loads(notes["fairlead.features"]) == {"trips/features/weather": 0, "trips/features/network": 0}
    assert notes["fairlead.code_version"] == plan.code_version


def test_rows_that_say_no_time_are_asked_about_at_one_instant(home: Home, tmp_path: Path) -> None:
    frame = example.rows(300)
    run(home, home.plan(example.write(frame, tmp_path / "rows.parquet"), asked_at="2024-03-15T08:00:00-04:00"))
    found = home.predictions(OUTPUT, 0)
    assert found["asked_at"].unique().to_pylist() == [NOON]
    assert np.abs(found["score"].to_numpy() - expected(home, frame.assign(asked_at=NOON))).max() <= 1e-6


def test_rows_that_say_no_time_are_asked_about_now_unless_told(home: Home, tmp_path: Path) -> None:
    run(home, home.plan(example.write(example.rows(3), tmp_path / "rows.parquet")))
    found = home.predictions(OUTPUT, 0)
    assert found["asked_at"].to_pylist() == found["scored_at"].to_pylist()
    assert found["asked_at"][0].as_py() > datetime(2026, 1, 1, tzinfo=UTC)


def test_a_range_of_days_is_scored_from_the_models_own_rows(home: Home) -> None:
    result = run(home, home.plan(start=date(2024, 3, 14), end=date(2024, 3, 15)), chunk=5)
    found = home.predictions(OUTPUT, 0)
    asked = found["asked_at"].to_pylist()
    assert result.source == "trips/clean/trips@0"
    assert asked == [datetime(2024, 3, 14, hour, tzinfo=UTC) for hour in range(24)], "an hour before they left"
    clean = example.trips().to_pandas().set_index("id").loc[found["id"].to_pylist()].reset_index()
    scores = expected(
        home, clean.drop(columns=["left_at", "arrived_at", "late"]).assign(asked_at=pd.to_datetime(asked))
    )
    assert np.abs(found["score"].to_numpy() - scores).max() <= 1e-6


def test_a_delta_table_is_scored_by_its_name_or_path_at_the_newest_or_a_named_version(home: Home) -> None:
    for count in (3, 5):
        rows = pa.Table.from_pandas(example.rows(count), preserve_index=False)
        home.tables.write("trips/incoming/today", rows, key=str(count), notes={})
    path = home.tables.uri("trips/incoming/today")
    for source, count in (("trips/incoming/today", 5), (f"{path}@0", 3), ("trips/incoming/today@0", 3), (path, 5)):
        plan = home.plan(source, asked_at=AT_NOON)
        assert run(home, plan).rows == count
        assert plan.source_label.endswith(f"@{0 if count == 3 else 1}")


def test_a_folder_of_parquet_is_scored_file_by_file_in_the_order_of_their_names(home: Home, tmp_path: Path) -> None:
    whole = example.asked(1_000)
    for number in (3, 1, 0, 2):
        example.write(whole[number * 250 : (number + 1) * 250], tmp_path / "in" / f"{number}.parquet")
    run(home, home.plan(tmp_path / "in"), chunk=333)
    assert home.predictions(OUTPUT, 0)["id"].to_pylist() == list(range(1_000))


def test_predictions_go_where_they_are_told_and_repeat_what_they_are_told(home: Home, tmp_path: Path) -> None:
    source = example.write(example.asked(20), tmp_path / "rows.parquet")
    run(home, home.plan(source, output=str(tmp_path / "out"), keep=["hour"]))
    files = DeltaTables(str(tmp_path)).files("out", 0)
    assert pq.read_table(files[0])["hour"].to_numpy().tolist() == pytest.approx(
        example.asked(20)["hour"].tolist(), nan_ok=True
    )


def test_timestamps_as_pandas_writes_them_are_taken(home: Home, tmp_path: Path) -> None:
    naive = example.asked(20)["asked_at"].dt.tz_localize(None).astype("datetime64[ns]") + pd.Timedelta(1, "ns")
    frame = example.asked(20).assign(asked_at=naive, left=naive)
    frame.to_parquet(tmp_path / "rows.parquet", index=False)
    run(home, home.plan(tmp_path / "rows.parquet", keep=["left"]))
    found = home.predictions(OUTPUT, 0)
    assert found["asked_at"].to_pandas().tolist() == example.asked(20)["asked_at"].tolist()
    assert found["left"].equals(found["asked_at"]), "what says no zone is UTC"


def test_a_personal_column_is_only_repeated_when_it_is_named(home: Home, tmp_path: Path) -> None:
    tables = home.trained.dataset.tables
    private = {"trips": tables["trips"].model_copy(update={"personal": {"origin": "pseudonymise"}})}
    dataset = home.trained.dataset.model_copy(update={"tables": private})
    marked = replace(home, trained=home.trained.model_copy(update={"dataset": dataset}))
    source = example.write(example.asked(5), tmp_path / "rows.parquet")
    run(marked, marked.plan(source, output="trips/predictions/without"))
    run(marked, marked.plan(source, output="trips/predictions/named", keep=["origin"]))
    assert "origin" not in home.predictions("trips/predictions/without", 0).column_names
    assert "origin" in home.predictions("trips/predictions/named", 0).column_names


def test_feature_tables_are_read_at_the_newest_version_or_a_pinned_one(home: Home, tmp_path: Path) -> None:
    newest = home.plan(example.write(example.asked(5), tmp_path / "rows.parquet"))
    pinned = home.plan(tmp_path / "rows.parquet", pins=["trips/features/weather@0"])
    assert newest.features == pinned.features == {"trips/features/weather": 0, "trips/features/network": 0}
    with pytest.raises(SourceError, match="there is no version 7 of the table trips/features/weather"):
        home.plan(tmp_path / "rows.parquet", pins=["trips/features/weather@7"])
    with pytest.raises(ScoringError, match="--pin names the table 'trips/features/sea', of which nothing is read"):
        home.plan(tmp_path / "rows.parquet", pins=["trips/features/sea@0"])


# Killed, and repeated.


@pytest.mark.parametrize("rows", [500, 1_500, 2_300])
def test_a_killed_batch_goes_on_where_it_was_and_ends_the_same(home: Home, tmp_path: Path, rows: int) -> None:
    source = example.write(example.asked(2_300), tmp_path / "rows.parquet")
    undisturbed = run(home, home.plan(source, output="trips/predictions/whole"))
    with pytest.raises(Killed):
        run(home, home.plan(source), stop_after=rows)
    assert home.tables.newest(OUTPUT) is None, "nothing of it is seen"
    result = run(home, home.plan(source))
    assert result.continued_from == rows
    assert (result.rows, result.yes) == (undisturbed.rows, undisturbed.yes)
    without = [name for name in home.predictions(OUTPUT, 0).column_names if name != "scored_at"]
    again, whole = home.predictions(OUTPUT, 0), home.predictions("trips/predictions/whole", 0)
    assert again.select(without).equals(whole.select(without))
    assert len(again["scored_at"].unique()) == 1, "of one batch, although two processes made it"
    assert list((Path(home.settings.tables_uri).parent / "scoring").iterdir()) == []


def test_a_half_written_part_is_written_anew(home: Home, tmp_path: Path) -> None:
    plan = home.plan(example.write(example.asked(1_200), tmp_path / "rows.parquet"))
    with pytest.raises(Killed):
        run(home, plan, stop_after=500)
    [work] = (Path(home.settings.tables_uri).parent / "scoring").iterdir()
    (work / ".part-000001.parquet.77").write_bytes(b"PAR1")
    assert run(home, plan).continued_from == 500
    assert home.predictions(OUTPUT, 0)["row"].to_pylist() == list(range(1_200))


def test_the_same_batch_again_does_nothing(home: Home, tmp_path: Path) -> None:
    source = example.write(example.rows(800), tmp_path / "rows.parquet")
    first = run(home, home.plan(source))
    second = run(home, home.plan(source), stop_after=0)
    assert second == first.model_copy(update={"reused": True})
    assert home.tables.newest(OUTPUT) == 0


def test_another_batch_is_appended_and_leaves_the_first_alone(home: Home, tmp_path: Path) -> None:
    first = run(home, home.plan(example.write(example.asked(30), tmp_path / "a.parquet")))
    second = run(home, home.plan(example.write(example.asked(40, seed=2), tmp_path / "b.parquet")))
    assert (first.output_version, second.output_version) == (0, 1)
    assert [home.predictions(OUTPUT, version).num_rows for version in (0, 1)] == [30, 70]


def test_the_same_path_with_other_rows_is_another_batch(home: Home, tmp_path: Path) -> None:
    run(home, home.plan(example.write(example.asked(30), tmp_path / "rows.parquet")))
    assert not run(home, home.plan(example.write(example.asked(30, seed=2), tmp_path / "rows.parquet"))).reused


def test_a_table_made_anew_in_the_place_of_another_is_another_batch(home: Home, tmp_path: Path) -> None:
    keys = []
    for seed in (1, 2):
        table = pa.Table.from_pandas(example.asked(5, seed), preserve_index=False)
        DeltaTables(str(tmp_path)).write("in", table, key="one", notes={})
        keys.append(home.plan(tmp_path / "in").key)
        shutil.rmtree(tmp_path / "in")
    assert keys[0] != keys[1]


def test_a_plan_goes_through_the_parameters_of_a_pipeline_unchanged(home: Home, tmp_path: Path) -> None:
    plan = home.plan(example.write(example.asked(5), tmp_path / "rows.parquet"), keep=["hour"])
    assert json.loads(json.dumps(plan.arguments()))["source_version"] == ""
    assert home.plan(start=date(2024, 3, 14), end=date(2024, 3, 15)).arguments()["source_version"] == "0"


# Nothing to score, and what cannot be scored.


def test_no_rows_are_no_error_and_write_nothing(home: Home, tmp_path: Path) -> None:
    for plan in (
        home.plan(example.write(example.asked(0), tmp_path / "rows.parquet")),
        home.plan(start=date(2023, 1, 1), end=date(2023, 1, 2)),
    ):
        result = run(home, plan)
        assert (result.rows, result.output_version) == (0, None)
    assert home.tables.newest(OUTPUT) is None


GOOD = example.asked(20)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (GOOD.drop(columns="hour"), r"must have the column 'hour', which does not exist"),
        (GOOD.rename(columns={"origin": "origins"}), r"must have the column 'origin'.* did you mean 'origins'\?"),
        (GOOD.assign(hour="9"), r"column 'hour' must hold numbers, but is string"),
        (GOOD.assign(hour=pd.Timestamp(0)), r"column 'hour' must hold numbers, but is timestamp"),
        (GOOD.assign(carrier=7), r"column 'carrier' must hold text, but is int64"),
        (GOOD.assign(origin=1.5), r"column 'origin' must hold text, but is double"),
        (GOOD.assign(asked_at="today"), r"column 'asked_at' must hold timestamps in UTC, but is string"),
        (GOOD.assign(asked_at=GOOD["asked_at"].where(GOOD.index != 13)), r"'asked_at' .* but row 13 is null"),
        (GOOD.assign(hour=np.where(GOOD.index == 17, np.inf, 1.0)), r"'hour' must hold finite .* but row 17 does not"),
        (GOOD.assign(hour=np.where(GOOD.index == 7, 1e39, 1.0)), r"'hour' must hold finite .* but row 7 does not"),
    ],
)
def test_rows_that_the_model_does_not_take_are_one_clear_error(
    home: Home, tmp_path: Path, frame: pd.DataFrame, message: str
) -> None:
    plan = home.plan(example.write(frame, tmp_path / "rows.parquet"))
    with pytest.raises(SourceError, match=message) as error:
        run(home, plan, chunk=6)
    assert str(tmp_path / "rows.parquet") in str(error.value)
    assert home.tables.newest(OUTPUT) is None


def test_a_column_that_is_to_be_repeated_must_be_there_and_not_be_called_like_a_prediction(
    home: Home, tmp_path: Path
) -> None:
    source = example.write(GOOD.assign(score=1.0), tmp_path / "rows.parquet")
    for name, message in (("score", "column 'score' of .* must have another name"), ("hours", "did you mean 'hour'")):
        with pytest.raises(FairleadError, match=message):
            run(home, home.plan(source, keep=[name]))


def test_an_input_that_cannot_be_read_is_named(home: Home, tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("no Parquet at all", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    for source, message in (
        (tmp_path / "nowhere.parquet", r"cannot read .*nowhere.parquet: No such file or directory"),
        (tmp_path / "empty", r"must hold \*.parquet files or be a Delta table, but holds neither"),
        ("trips/clean/trip", r"there is no table trips/clean/trip"),
        ("trips/clean/trips@9", r"there is no version 9 of the table trips/clean/trips"),
    ):
        with pytest.raises(SourceError, match=message):
            home.plan(source)
    with pytest.raises(SourceError, match=r"cannot read .*text.parquet: .*Parquet"):
        run(home, home.plan(tmp_path / "text.parquet"))


def test_files_of_one_folder_must_have_the_same_columns(home: Home, tmp_path: Path) -> None:
    example.write(GOOD, tmp_path / "in" / "a.parquet")
    example.write(GOOD.assign(hour="9"), tmp_path / "in" / "b.parquet")
    with pytest.raises(
        SourceError, match=r"must have the same columns, but .*b.parquet and .*a.parquet differ in hour$"
    ):
        run(home, home.plan(tmp_path / "in"))


def test_a_file_that_is_damaged_in_its_middle_is_named_and_leaves_no_predictions(home: Home, tmp_path: Path) -> None:
    source = example.write(example.asked(20_000), tmp_path / "rows.parquet")
    content = bytearray(source.read_bytes())
    content[1_000:60_000] = bytes(59_000)
    source.write_bytes(content)
    with pytest.raises(SourceError, match=r"cannot read .*rows.parquet: "):
        run(home, home.plan(source), chunk=5_000)
    assert home.tables.newest(OUTPUT) is None


def test_an_input_that_changes_after_the_plan_is_refused(home: Home, tmp_path: Path) -> None:
    plan = home.plan(example.write(GOOD, tmp_path / "rows.parquet"))
    example.write(example.asked(21), tmp_path / "rows.parquet")
    with pytest.raises(SourceError, match="has changed since the batch was planned"):
        run(home, plan)


def test_a_bundle_that_is_not_the_planned_one_is_refused(home: Home, tmp_path: Path) -> None:
    plan = home.plan(example.write(GOOD, tmp_path / "rows.parquet")).model_copy(update={"bundle": "0" * 64})
    with pytest.raises(BundleError, match="the bundle's digest must be 0000"):
        run(home, plan)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "either an input or a range of time .* but there is neither"),
        ({"start": date(2024, 3, 1)}, "needs both --from and --to"),
        ({"start": date(2024, 3, 2), "end": date(2024, 3, 2)}, "--from must be before --to"),
        ({"source": "x", "start": date(2024, 3, 1), "end": date(2024, 3, 2)}, "but there is both"),
        ({"source": example.CLEAN, "asked_at": "2024-03-01"}, "must be an ISO 8601 instant with an offset"),
        ({"source": example.CLEAN, "pins": ["weather"]}, "--pin must read <table>@<version>"),
    ],
)
def test_a_request_that_contradicts_itself_is_refused(home: Home, request_: dict[str, Any], message: str) -> None:
    with pytest.raises(ScoringError, match=message):
        home.plan(**request_)


def test_an_instant_for_rows_that_say_their_own_is_refused(home: Home, tmp_path: Path) -> None:
    with pytest.raises(ScoringError, match="leave --asked-at out"):
        run(home, home.plan(example.write(GOOD, tmp_path / "rows.parquet"), asked_at=AT_NOON))


def test_a_refused_version_scores_only_when_that_is_asked_for(home: Home, tmp_path: Path) -> None:
    source = example.write(GOOD, tmp_path / "rows.parquet")
    refused = replace(home, version=replace(home.version, status="refused", reasons=["roc_auc >= 0.9: it is 0.8"]))
    with pytest.raises(RegistryError, match=r"trip-delay@1 was refused by its gates, .* roc_auc >= 0.9: it is 0.8"):
        refused.plan(source)
    assert run(home, refused.plan(source, refused=True)).rows == 20


def test_a_table_that_holds_no_predictions_is_not_appended_to(home: Home, tmp_path: Path) -> None:
    plan = home.plan(example.write(GOOD, tmp_path / "rows.parquet"), output=example.CLEAN)
    with pytest.raises(
        ScoringError, match="the table trips/clean/trips must hold predictions, but has no column 'row'"
    ):
        run(home, plan)
    assert home.tables.newest(example.CLEAN) == 0


def test_a_feature_table_that_is_not_there_is_named(home: Home, tmp_path: Path) -> None:
    source = example.write(GOOD, tmp_path / "rows.parquet")
    weather = Path(home.tables.uri("trips/features/weather"))
    away = weather.rename(weather.with_name("away"))
    try:
        with pytest.raises(FairleadError, match="looks up trip_v1, but there is no table trips/features/weather"):
            home.plan(source)
    finally:
        away.rename(weather)


def test_a_full_disk_is_told_and_the_batch_goes_on_when_there_is_room(home: Home, tmp_path: Path) -> None:
    plan = home.plan(example.write(example.asked(30_000), tmp_path / "rows.parquet"))
    around = surroundings(plan, home.settings)
    with largest_file(100_000), pytest.raises(HomeError, match=r"cannot write .*part-000000.parquet: .*File too large"):
        score_batch(plan, around, lambda *told: None, 30_000)
    assert home.tables.newest(OUTPUT) is None
    [work] = around.work.iterdir()
    assert [path.name for path in work.iterdir()] == ["begun.json"]
    assert score_batch(plan, around, lambda *told: None, 30_000).rows == 30_000


def test_a_plan_is_run_with_the_settings_alone(home: Home, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    plan = home.plan(example.write(GOOD, tmp_path / "rows.parquet"))
    run_plan(plan, home.settings, lambda done, total, rate: told.append((done, total)))
    assert told == [(20, 20)]
    assert home.tables.newest(OUTPUT) == 0


def test_a_batch_asked_hours_ago_does_not_see_what_is_newer(home: Home, tmp_path: Path) -> None:
    frame = example.rows(50)
    early = frame.assign(asked_at=NOON - 30 * HOUR)
    run(home, home.plan(example.write(early, tmp_path / "rows.parquet")))
    found = home.predictions(OUTPUT, 0)["score"].to_numpy()
    assert np.abs(found - expected(home, early)).max() <= 1e-6
    assert np.abs(found - expected(home, frame.assign(asked_at=NOON))).max() > 1e-3
