"""Results of jobs that watch, and what is scraped of them."""

import math
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import ValidationError

from fairlead import metrics as catalogue
from fairlead.adapters.memory_results import MemoryResults
from fairlead.adapters.result_files import ResultFiles
from fairlead.errors import DriftError, HomeError
from fairlead.monitors.results import Figures, Result, failed, succeeded
from fairlead.ports import ResultStore
from monitoring.collector.results import Results


def scraped(store: ResultStore) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(Results(store))
    generate_latest(registry)
    return registry


DRIFT = {"model": "m", "detector": "drift"}
ALARM = "fairlead_drift_alarm", {"model": "m", "version": "1", "kind": "input"}


def a_result() -> Result:
    figures = Figures(model="m", version="1")
    figures.set(catalogue.DRIFT_ALARM, 1, kind="input")
    figures.set(catalogue.UPSTREAM_ALARM, 0, cause="freshness")
    return succeeded("m", "drift", figures, version="1")


def test_figures_of_a_run_are_scraped_under_their_names_with_the_time_of_the_run():
    store, result = MemoryResults(), a_result()
    store.write(result)
    value = scraped(store).get_sample_value
    assert value(*ALARM) == 1
    assert value("fairlead_upstream_alarm", {"model": "m", "cause": "freshness"}) == 0
    assert value("fairlead_monitor_failed", DRIFT | {"error": ""}) == 0
    assert value("fairlead_monitor_last_run_timestamp_seconds", DRIFT) == pytest.approx(result.at.timestamp())


def test_a_failed_run_says_so_and_keeps_what_was_found_before():
    store = MemoryResults()
    store.write(a_result())
    store.write(failed("m", "drift", DriftError("no library"), store.read("m", "drift")))
    value = scraped(store).get_sample_value
    assert value("fairlead_monitor_failed", DRIFT | {"error": "DriftError"}) == 1
    assert value(*ALARM) == 1
    result = store.read("m", "drift")
    assert result is not None
    assert result.succeeded_at is not None
    assert result.at > result.succeeded_at


def test_a_first_run_that_fails_has_never_succeeded():
    store = MemoryResults()
    store.write(failed("m", "drift", DriftError("no library"), None))
    assert scraped(store).get_sample_value("fairlead_monitor_last_success_timestamp_seconds", DRIFT) == 0


def test_a_result_that_cannot_be_read_is_counted_and_hides_no_other(tmp_path: Path):
    store = ResultFiles(str(tmp_path))
    store.write(a_result())
    (tmp_path / "monitoring" / "m" / "performance.json").write_text("{")
    value = scraped(store).get_sample_value
    assert value("fairlead_monitor_unreadable_results") == 1
    assert value(*ALARM) == 1


class Unlistable(MemoryResults):
    """A store that is away."""

    def names(self) -> list[tuple[str, str]]:
        raise HomeError("cannot list the results")


def test_results_that_cannot_be_listed_are_told():
    assert scraped(Unlistable()).get_sample_value("fairlead_monitor_unreadable_results") == -1
    assert scraped(MemoryResults()).get_sample_value("fairlead_monitor_unreadable_results") == 0


def test_two_jobs_may_have_figures_of_one_metric():
    store = MemoryResults()
    store.write(a_result())
    store.write(a_result().model_copy(update={"detector": "other"}))
    value = scraped(store).get_sample_value
    assert [
        value("fairlead_monitor_failed", DRIFT | {"detector": name, "error": ""}) for name in ("drift", "other")
    ] == [0, 0]


def test_labels_must_be_those_of_the_metric():
    figures = Figures(model="m")
    with pytest.raises(ValueError, match="fairlead_drift_alarm must have the labels"):
        figures.set(catalogue.DRIFT_ALARM, 1, kind="input")


def test_a_metric_that_is_not_in_the_catalogue_is_refused():
    content = a_result().model_dump(mode="json") | {"metrics": {"fairlead_typo": [{"labels": {}, "value": 1}]}}
    with pytest.raises(ValidationError, match="fairlead_typo"):
        Result.model_validate(content)


def test_a_figure_that_is_no_number_is_left_out():
    figures = Figures(model="m", version="1")
    figures.set(catalogue.DRIFT_WINDOW_ROWS, math.nan)
    assert figures.values == {}


def test_a_result_is_the_same_after_it_was_kept(tmp_path: Path):
    figures = Figures(model="m", version="1")
    figures.set(catalogue.DRIFT_EFFECT, math.inf, kind="input", feature="f", test="psi")
    result = succeeded("m", "drift", figures)
    store = ResultFiles(str(tmp_path))
    store.write(result)
    assert store.read("m", "drift") == result
