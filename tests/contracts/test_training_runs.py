"""What `TrainingRuns` promise: on this machine, and on Kubeflow Pipelines' API (the fake that ships)."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from fairlead.adapters.kfp_api import KfpApi
from fairlead.adapters.training_runs import LocalTrainingRuns, PipelineTrainingRuns
from fairlead.errors import BackendDownError, PipelineError
from fairlead.ports import TrainingRuns
from fairlead.retraining.runs import Outcome
from tests.contracts.test_pipeline_api import VERSION, fake_with_pipelines, serve

__all__ = ["serve"]  # a fixture
AS_OF = datetime(2013, 4, 1, 4, tzinfo=UTC)


def local(ending: str) -> TrainingRuns:
    def train(as_of: datetime) -> bool:
        assert as_of == AS_OF
        if ending == "failed":
            raise PipelineError("step train-model failed")
        return True

    return LocalTrainingRuns(train)


def on_pipelines(ending: str, address: Callable[..., str]) -> TrainingRuns:
    fake = fake_with_pipelines()
    if ending == "failed":
        fake.failing.add("train-and-release")
    backend = KfpApi(address(fake), "kubeflow")
    version = backend.resolve("retrain-model", VERSION)
    return PipelineTrainingRuns(backend, version, lambda as_of: {"model": "flight-delay", "as_of": f"{as_of:%Y-%m-%d}"})


@pytest.fixture(params=["local", "pipelines"])
def make(request: pytest.FixtureRequest, serve: Callable[..., str]) -> Callable[[str], TrainingRuns]:
    return local if request.param == "local" else lambda ending: on_pipelines(ending, serve)


def end(runs: TrainingRuns, run_id: str) -> Outcome:
    for _ in range(20):
        found = runs.outcome("flight-delay", run_id)
        if found is not None:
            return found
    pytest.fail("the run does not end")


def test_a_run_that_was_started_ends_well(make: Callable[[str], TrainingRuns]) -> None:
    runs = make("well")
    assert end(runs, runs.start("flight-delay", "retrain-flight-delay-1", AS_OF)).kind == "accepted"


def test_a_run_whose_step_fails_has_failed_and_says_which(make: Callable[[str], TrainingRuns]) -> None:
    runs = make("failed")
    found = end(runs, runs.start("flight-delay", "retrain-flight-delay-1", AS_OF))
    assert found.kind == "failed"
    assert "step tra" in found.detail


def test_a_local_run_of_another_process_cannot_be_told() -> None:
    assert LocalTrainingRuns(lambda as_of: True).outcome("flight-delay", "retrain-flight-delay-1") is None


def test_a_backend_that_is_gone_is_told_as_such() -> None:
    runs = PipelineTrainingRuns(KfpApi("http://127.0.0.1:9", "kubeflow"), None, lambda as_of: {})  # type: ignore[arg-type]
    with pytest.raises(BackendDownError):
        runs.outcome("flight-delay", "x")
