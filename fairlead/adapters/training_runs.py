"""Runs of the training pipeline that a retraining starts: on this machine, or on Kubeflow Pipelines."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from fairlead.errors import PipelineError
from fairlead.ports import PipelineBackend
from fairlead.retraining.runs import Outcome
from fairlead.runs.request import PinnedVersion, RunRequest

EXPERIMENT = "retraining"


class LocalTrainingRuns:
    """`TrainingRuns` on this machine: a run is over when `start` comes back."""

    def __init__(self, train: Callable[[datetime], bool]) -> None:
        """
        Args:
            train: trains as of an instant; returns whether the gates accepted the model.
        """
        self._train = train
        self._ended: dict[str, Outcome] = {}

    def start(self, model: str, name: str, as_of: datetime) -> str:
        try:
            accepted = self._train(as_of)
        except PipelineError as error:
            self._ended[name] = Outcome("failed", str(error))
        else:
            self._ended[name] = Outcome("accepted" if accepted else "refused")
        return name

    def outcome(self, model: str, run_id: str) -> Outcome | None:
        # Another process's run is none of ours: whether it has ended only its own process can tell.
        return self._ended.get(run_id)


class PipelineTrainingRuns:
    """`TrainingRuns` on a `PipelineBackend`."""

    def __init__(
        self, backend: PipelineBackend, version: PinnedVersion, parameters: Callable[[datetime], Mapping[str, Any]]
    ) -> None:
        """
        Args:
            backend: runs the pipelines.
            version: of the training pipeline.
            parameters: the pipeline's, as of an instant.
        """
        self._backend, self._version, self._parameters = backend, version, parameters

    def start(self, model: str, name: str, as_of: datetime) -> str:
        return self._backend.start(
            RunRequest(
                version=self._version, name=name, experiment=EXPERIMENT, parameters=dict(self._parameters(as_of))
            )
        )

    def outcome(self, model: str, run_id: str) -> Outcome | None:
        status = self._backend.status(run_id)
        if status.state in ("waiting", "running"):
            return None
        if status.state == "succeeded":
            # Whether it is a challenger says the registry: a pipeline that ends well may have refused its model.
            return Outcome("accepted", "the run ended well; its version says whether the gates accepted it")
        failed = f"step {', '.join(status.failed)} failed" if status.failed else f"the run {status.state}"
        return Outcome("failed", failed)
