"""The drift job: records of real answers against the rows a bundle was made from, planted changes, and faults."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from fairlead import metrics
from fairlead.adapters.bundles import FolderBundles
from fairlead.adapters.delta import DeltaTables
from fairlead.adapters.memory_records import MemoryRecords
from fairlead.adapters.memory_results import MemoryResults
from fairlead.drift.engine import OwnEngine
from fairlead.drift.job import DETECTOR, DriftReport, run_drift
from fairlead.drift.windows import windows_before
from fairlead.errors import DriftError, EngineMissingError
from fairlead.monitors.results import Figures, Result, of_dataset, succeeded
from fairlead.packaging.bundle import BUNDLE_FILE, load_bundle, release_bundle
from fairlead.packaging.session import ScoringSession
from fairlead.records.reading import read_event
from fairlead.records.record import EventEncoder
from fairlead.spec.drift import DriftSpec
from fairlead.training.fit import as_columns
from tests.unit import training_example as example

AS_OF = example.AS_OF + timedelta(days=20)
SPEC = DriftSpec(window=timedelta(days=4), windows=3, breaches=2, ignore=["hour"], min_rows=60, entity=[])
Change = Callable[[Any], Any]


@dataclass
class Stores:
    """All in memory or in one folder."""

    records: MemoryRecords
    bundles: FolderBundles
    tables: DeltaTables
    results: MemoryResults


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drift")
    model = example.model().model_copy(update={"drift": SPEC})
    example.packaged(root / "packaged", example.training_set(rows=4000), model)
    release_bundle(root / "packaged", root / "bundles" / "trip-delay" / "1", "1")
    return root


@pytest.fixture
def stores(packaged: Path, tmp_path: Path) -> Stores:
    return Stores(
        MemoryRecords(), FolderBundles(str(packaged / "bundles")), DeltaTables(str(tmp_path)), MemoryResults()
    )


def unchanged(rows: Any) -> Any:
    return rows


def answer(
    stores: Stores, change: Change = unchanged, seed: int = 5, days: int = 20, ahead: timedelta = timedelta(0)
) -> None:
    """Score rows of the weeks after the training through the bundle, and keep the records that a server makes."""
    folder = stores.bundles.folder("trip-delay", "1")
    bundle, session = load_bundle(folder), ScoringSession.open(folder)
    encoder = EventEncoder(bundle, None)
    rows = example.training_set(rows=2000, seed=seed).rows
    rows["event_timestamp"] = rows["event_timestamp"].dt.floor("s") + timedelta(days=20)
    rows = rows[rows["event_timestamp"] < example.AS_OF + timedelta(days=days)]
    rows = change(rows.copy())
    matrix = bundle.signature.matrix(as_columns(rows, bundle.signature))
    scores = session.scores(matrix)
    events = []
    for number, row in enumerate(rows.to_dict("records")):
        columns = {"carrier": [row["carrier"]], "hour": [row["hour"]], "origin": [row["row_id"]]}
        content = encoder.answered(
            request_id=None,
            columns=columns,
            matrix=matrix[number : number + 1],
            scores=scores[number : number + 1],
            decisions=session.decisions(scores[number : number + 1]),
            latency_ms=1.0,
        )
        event = read_event(content)
        events.append(event.model_copy(update={"time": row["event_timestamp"].to_pydatetime() + ahead}))
    stores.records.add("trip-delay", events)


def look(stores: Stores, spec: DriftSpec = SPEC, engine: Any = None, as_of: datetime = AS_OF) -> DriftReport:
    model = example.model().model_copy(update={"drift": spec})
    return run_drift(model, example.dataset(), stores, engine or OwnEngine(), as_of)


def alarms(report: DriftReport) -> dict[str, bool]:
    return {item.kind: item.alarm for item in report.versions[0].kinds}


def verdicts(report: DriftReport, kind: str) -> list[str]:
    return [window.verdict for item in report.versions[0].kinds if item.kind == kind for window in item.windows]


def figure(stores: Stores, metric: metrics.Metric, **labels: str) -> float | None:
    result = stores.results.read("trip-delay", DETECTOR)
    assert result is not None
    values = result.metrics.get(metric.name, ())
    return next((item.value for item in values if labels.items() <= item.labels.items()), None)


def test_rows_like_those_of_the_training_raise_no_alarm(stores: Stores):
    answer(stores)
    report = look(stores)
    assert alarms(report) == {"input": False, "feature": False, "prediction": False}
    assert verdicts(report, "input") == ["no drift"] * 3
    assert figure(stores, metrics.DRIFT_ALARM, kind="input", version="1") == 0
    assert figure(stores, metrics.DRIFT_NOT_ENOUGH_DATA, kind="feature") == 0


def test_what_a_caller_sends_what_is_looked_up_and_what_is_answered_are_told_apart(stores: Stores):
    def other_carriers(rows: Any) -> Any:
        return rows.assign(carrier=np.where(rows.index % 3 == 0, "UA", rows["carrier"]))

    answer(stores, other_carriers)
    report = look(stores)
    assert alarms(report)["input"]
    assert not alarms(report)["feature"]
    assert figure(stores, metrics.DRIFT_FEATURE, feature="carrier", test="chi_square") == 1


def test_a_broken_pipeline_shows_in_features_and_scores_and_not_in_what_callers_send(stores: Stores):
    answer(stores, lambda rows: rows.assign(network__late_share=rows["network__late_share"] * 0.5))
    report = look(stores)
    assert alarms(report) == {"input": False, "feature": True, "prediction": True}
    assert report.alarms == ["feature of version 1", "prediction of version 1"]
    effect = figure(stores, metrics.DRIFT_EFFECT, feature="network__late_share", test="ks")
    assert effect is not None
    assert effect > 0.3


def test_a_feature_that_is_null_in_every_row_is_drift_and_an_upstream_fault(stores: Stores):
    answer(stores, lambda rows: rows.assign(weather__wind_mph=np.nan))
    report = look(stores)
    assert alarms(report)["feature"]
    assert "weather__wind_mph in 100% of the rows" in report.upstream.causes["missing"]
    assert figure(stores, metrics.UPSTREAM_ALARM, cause="missing") == 1
    assert figure(stores, metrics.UPSTREAM_MISSING, feature="weather__wind_mph") == 1


def test_a_category_that_training_never_saw_is_drift(stores: Stores):
    answer(stores, lambda rows: rows.assign(carrier=np.where(rows.index % 4 == 0, "ZZ", rows["carrier"])))
    assert alarms(look(stores))["input"]


def test_columns_that_changed_places_are_both_found(stores: Stores):
    def swapped(rows: Any) -> Any:
        return rows.rename(
            columns={"weather__wind_mph": "network__late_share", "network__late_share": "weather__wind_mph"}
        )

    answer(stores, swapped)
    look(stores)
    for name in ("weather__wind_mph", "network__late_share"):
        assert figure(stores, metrics.DRIFT_FEATURE, feature=name, test="ks") == 1


def test_a_column_that_became_constant_is_drift_and_no_error(stores: Stores):
    answer(stores, lambda rows: rows.assign(weather__wind_mph=3.0))
    assert alarms(look(stores))["feature"]


def test_no_records_are_not_the_same_as_no_drift(stores: Stores):
    report = look(stores)
    assert set(verdicts(report, "input")) == {"not enough data"}
    assert figure(stores, metrics.DRIFT_NOT_ENOUGH_DATA, kind="input", version="none") == 1
    assert figure(stores, metrics.DRIFT_WINDOW_ROWS) == 0


def test_an_empty_window_among_others_is_passed_over_and_told(stores: Stores):
    answer(stores, days=10)
    report = look(stores)
    assert verdicts(report, "input")[-1] == "not enough data"
    assert report.versions[0].kinds[0].windows[-1].reason == "no records"


def test_too_few_rows_are_not_enough(stores: Stores):
    answer(stores)
    report = look(stores, SPEC.model_copy(update={"min_rows": 5000}))
    assert set(verdicts(report, "feature")) == {"not enough data"}
    assert report.alarms == []


def test_rows_of_one_entity_count_once(stores: Stores):
    answer(stores)
    report = look(stores, SPEC.model_copy(update={"entity": ["carrier"]}))
    assert "rows needed" in report.versions[0].kinds[0].windows[-1].reason


class Missing(OwnEngine):
    """An engine whose library is not installed."""

    name = "alibi"

    def library(self) -> str:
        raise EngineMissingError("alibi-detect is not installed")


def test_a_missing_library_is_an_error_and_a_figure_and_never_no_drift(stores: Stores):
    with pytest.raises(EngineMissingError):
        look(stores, engine=Missing())
    result = stores.results.read("trip-delay", DETECTOR)
    assert result is not None
    assert result.failure is not None
    assert result.failure.error == "EngineMissingError"
    assert result.metrics == {}


class Failing(OwnEngine):
    """An engine that breaks in the middle."""

    def compare(self, *arguments: Any) -> Any:
        raise EngineMissingError("gone")


def test_an_engine_that_breaks_keeps_the_figures_of_the_run_before(stores: Stores):
    answer(stores)
    look(stores)
    with pytest.raises(EngineMissingError):
        look(stores, engine=Failing())
    assert figure(stores, metrics.DRIFT_ALARM, kind="input") == 0
    result = stores.results.read("trip-delay", DETECTOR)
    assert result is not None
    assert result.failure is not None


def test_a_bundle_without_a_reference_is_an_error_that_says_what_to_do(stores: Stores, tmp_path: Path):
    answer(stores)
    folder = tmp_path / "bundles" / "trip-delay" / "1"
    folder.mkdir(parents=True)
    for file in stores.bundles.folder("trip-delay", "1").iterdir():
        content = file.read_bytes()
        if file.name == BUNDLE_FILE:
            bundle = json.loads(content)
            del bundle["files"]["reference.parquet"]
            content = json.dumps(bundle).encode()
        (folder / file.name).write_bytes(content)
    with pytest.raises(DriftError, match="packaged without"):
        look(replace(stores, bundles=FolderBundles(str(tmp_path / "bundles"))))


def test_records_of_later_than_when_they_came_are_of_a_wrong_clock(stores: Stores):
    ahead = (datetime.now(UTC) - AS_OF).days + 10
    answer(stores, ahead=timedelta(days=ahead))
    report = look(stores, as_of=AS_OF + timedelta(days=ahead))
    assert report.upstream.causes["clock"] == "100% of the newest rows are of later than when they came"
    assert figure(stores, metrics.UPSTREAM_ALARM, cause="clock") == 1


def test_a_gate_that_found_a_critical_breach_is_an_upstream_fault(stores: Stores):
    figures = Figures(dataset="trips")
    figures.set(metrics.UPSTREAM_BREACHES, 2, severity="critical")
    stores.results.write(succeeded(of_dataset("trips"), "quality", figures))
    assert look(stores).upstream.causes["quality"] == "2 critical rules are broken"
    assert figure(stores, metrics.UPSTREAM_ALARM, cause="quality") == 1


def test_windows_are_whole_days_of_where_the_data_is_from():
    spec = DriftSpec(windows=2, breaches=1)
    windows = windows_before(datetime(2013, 3, 11, 12, tzinfo=UTC), spec, "America/New_York")
    assert [(window.start, window.end) for window in windows] == [
        (datetime(2013, 3, 9, 5, tzinfo=UTC), datetime(2013, 3, 10, 5, tzinfo=UTC)),
        (datetime(2013, 3, 10, 5, tzinfo=UTC), datetime(2013, 3, 11, 4, tzinfo=UTC)),  # the clocks went forward
    ]


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"window": "90m"}, "whole hours"),
        ({"window": "5h"}, "must divide a day"),
        ({"breaches": 6}, "breaches must be at most windows"),
        ({"engine": "alibi", "numbers": ["psi"]}, "for the engine alibi"),
    ],
)
def test_a_section_that_makes_no_sense_is_refused(section: dict[str, Any], reason: str):
    with pytest.raises(ValidationError, match=reason):
        DriftSpec.model_validate(section)


def test_a_result_holds_only_metrics_of_the_catalogue(stores: Stores):
    answer(stores)
    look(stores)
    result = stores.results.read("trip-delay", DETECTOR)
    assert isinstance(result, Result)
    assert set(result.metrics) <= {metric.name for metric in metrics.DRIFT}


def test_records_without_a_matrix_are_compared_by_what_callers_sent(stores: Stores):
    answer(stores)
    whole = stores.records.read("trip-delay", example.START.date(), AS_OF.date())
    position = whole.schema.get_field_index("features")
    without = whole.set_column(position, "features", pa.nulls(len(whole), whole.schema.field("features").type))

    class Hashed(MemoryRecords):
        def read(self, *arguments: Any) -> pa.Table:
            return without

    report = look(replace(stores, records=Hashed()))
    assert verdicts(report, "input") == ["no drift"] * 3
    assert set(verdicts(report, "feature")) == {"not enough data"}
