"""What `TrainingRuns` promise: on this machine, and on Kubeflow Pipelines' API (the fake that ships)."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from fairlead.adapters.kfp_api import KfpApi
from fairlead.adapters.mlflow import RegisteredVersion
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
        return ending != "refused"

    return LocalTrainingRuns(train)


def on_pipelines(ending: str, address: Callable[..., str]) -> TrainingRuns:
    fake = fake_with_pipelines()
    if ending == "failed":
        fake.failing.add("train-and-release")
    backend = KfpApi(address(fake), "kubeflow")
    version = backend.resolve("retrain-model", VERSION)
    return PipelineTrainingRuns(backend, version, parameters, lambda given: registered(ending, given))


def parameters(as_of: datetime) -> dict[str, str]:
    return {"model": "flight-delay", "as_of": f"{as_of:%Y-%m-%d}"}


def registered(ending: str, given: Mapping[str, Any]) -> RegisteredVersion | None:
    """What the registry has of a run: found by the parameters that the backend tells."""
    assert given == parameters(AS_OF)
    if ending == "lost":
        return None
    status, reasons = ("refused", ["roc_auc ≥ 0.60: 0.58"]) if ending == "refused" else ("accepted", [])
    return RegisteredVersion("flight-delay", "2", status, reasons, [], "run", 0)


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


def test_a_model_that_the_gates_refused_is_told_apart(make: Callable[[str], TrainingRuns]) -> None:
    runs = make("refused")
    assert end(runs, runs.start("flight-delay", "retrain-flight-delay-1", AS_OF)).kind == "refused"


def test_a_refusal_on_pipelines_says_why_and_a_model_that_is_not_there_is_no_success(
    serve: Callable[..., str],
) -> None:
    runs = on_pipelines("refused", serve)
    assert end(runs, runs.start("flight-delay", "x", AS_OF)) == Outcome("refused", "roc_auc ≥ 0.60: 0.58")
    runs = on_pipelines("lost", serve)
    found = end(runs, runs.start("flight-delay", "x", AS_OF))
    assert found == Outcome("failed", "the run ended well, but the registry has no version that it made")


def test_a_run_whose_step_fails_has_failed_and_says_which(make: Callable[[str], TrainingRuns]) -> None:
    runs = make("failed")
    found = end(runs, runs.start("flight-delay", "retrain-flight-delay-1", AS_OF))
    assert found.kind == "failed"
    assert "step tra" in found.detail


def test_a_local_run_of_another_process_cannot_be_told() -> None:
    assert LocalTrainingRuns(lambda as_of: True).outcome("flight-delay", "retrain-flight-delay-1") is None


def test_a_backend_that_is_gone_is_told_as_such() -> None:
    runs = PipelineTrainingRuns(KfpApi("http://127.0.0.1:9", "kubeflow"), None, parameters, lambda given: None)  # type: ignore[arg-type]
    with pytest.raises(BackendDownError):
        runs.outcome("flight-delay", "x")
