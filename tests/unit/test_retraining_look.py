"""What asks for a retraining by itself: figures of the champion, and what becomes of the request when they change."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fairlead.adapters.bundles import FolderBundles
from fairlead.adapters.delta import DeltaTables
from fairlead.adapters.memory_records import MemoryRecords
from fairlead.adapters.memory_results import MemoryResults
from fairlead.adapters.retraining_log import MemoryLog
from fairlead.drift.novelty import Known
from fairlead.metrics import UPSTREAM_ALARM
from fairlead.monitors.results import Figures, succeeded
from fairlead.packaging.bundle import release_bundle
from fairlead.performance.decay import Decay
from fairlead.retraining.desk import Desk
from fairlead.retraining.entries import Asked
from fairlead.retraining.look import upstream_is_broken
from fairlead.retraining.signals import Signals, tell
from fairlead.spec.retraining import RetrainingSpec
from tests.unit import training_example as example
from tests.unit.test_drift_job import Change, Stores, answer, unchanged

NOW = datetime(2026, 11, 1, tzinfo=UTC)
QUIET = Signals(
    at=NOW,
    version="1",
    decay=Decay(live=0.7, promised=0.71, rows=900, decayed=False),
    novelty=0.1,
    labels=1000,
    learnt=1000,
)
WEEKS_LATER = example.AS_OF + timedelta(days=20)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> FolderBundles:
    root = tmp_path_factory.mktemp("look")
    example.packaged(root / "packaged", example.training_set(rows=2000))
    release_bundle(root / "packaged", root / "bundles" / "trip-delay" / "1", "1")
    return FolderBundles(str(root / "bundles"))


def records(bundles: FolderBundles, folder: Path, change: Change = unchanged) -> pa.Table:
    stores = Stores(MemoryRecords(), bundles, DeltaTables(str(folder)), MemoryResults())
    answer(stores, change)
    return stores.records.read("trip-delay", example.AS_OF.date(), WEEKS_LATER.date())


def blown(rows: Any) -> Any:
    return rows.assign(weather__wind_mph=rows["weather__wind_mph"] * 20)


def test_rows_like_those_it_was_fitted_to_are_not_new_and_rows_beyond_them_are(
    bundles: FolderBundles, tmp_path: Path
) -> None:
    known = Known.of(bundles.folder("trip-delay", "1"))
    alike = known.novelty(records(bundles, tmp_path), "1", WEEKS_LATER)
    beyond = known.novelty(records(bundles, tmp_path, blown), "1", WEEKS_LATER)
    assert alike is not None
    assert alike < 0.05
    assert beyond is not None
    assert beyond > 0.5


def test_without_rows_of_the_last_week_or_of_the_version_nothing_is_said(
    bundles: FolderBundles, tmp_path: Path
) -> None:
    known, rows = Known.of(bundles.folder("trip-delay", "1")), records(bundles, tmp_path)
    assert known.novelty(rows, "1", WEEKS_LATER + timedelta(days=30)) is None
    assert known.novelty(rows, "2", WEEKS_LATER) is None


@pytest.mark.parametrize(("value", "broken"), [(0.0, False), (1.0, True)])
def test_nothing_is_learnt_of_a_broken_source(value: float, broken: bool) -> None:
    figures = Figures(model="trip-delay")
    figures.set(UPSTREAM_ALARM, value, cause="freshness")
    assert upstream_is_broken(succeeded("trip-delay", "drift", figures)) is broken
    assert not upstream_is_broken(None)


@pytest.fixture
def desk() -> Desk:
    return Desk("trip-delay", RetrainingSpec(growth=0.25, novelty=0.5), MemoryLog())


@pytest.mark.parametrize(
    ("changes", "by"),
    [
        ({"decay": Decay(live=0.6, promised=0.71, rows=900, decayed=True)}, "ModelDecay"),
        ({"novelty": 0.6}, "InputNovel"),
        ({"labels": 1250}, "LabelsGrown"),
    ],
)
def test_each_figure_asks_once_and_takes_it_back_when_it_is_well_again(
    desk: Desk, changes: dict[str, Any], by: str
) -> None:
    tell(desk, QUIET)
    assert desk.state().open == ()
    for _ in range(3):
        tell(desk, replace(QUIET, **changes))
    [key] = desk.state().open
    assert desk.state().asked[key].by == by
    tell(desk, QUIET)
    assert desk.state().open == ()


def test_requests_of_alerts_are_left_to_alertmanager(desk: Desk) -> None:
    desk.ask(Asked(at=NOW, key="c1f7@2026-11-01", trigger="decay", by="ModelDecay", standing=True))
    tell(desk, QUIET)
    assert desk.state().open == ("c1f7@2026-11-01",)
