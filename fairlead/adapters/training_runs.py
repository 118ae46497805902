"""Runs of the training pipeline that a retraining starts: on this machine, or on Kubeflow Pipelines."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from fairlead.errors import PipelineError
from fairlead.ports import PipelineBackend
from fairlead.retraining.runs import Outcome
from fairlead.runs.request import PinnedVersion, RunRequest

EXPERIMENT = "retraining"


class Made(Protocol):
    """A version of the registry, as far as a retraining asks."""

    @property
    def status(self) -> str:
        """`accepted` or `refused`."""
        ...

    @property
    def reasons(self) -> Sequence[str]:
        """Of a refusal."""
        ...


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
        self,
        backend: PipelineBackend,
        version: PinnedVersion,
        parameters: Callable[[datetime], Mapping[str, Any]],
        made: Callable[[Mapping[str, Any]], Made | None],
    ) -> None:
        """
        Args:
            backend: runs the pipelines.
            version: of the training pipeline.
            parameters: the pipeline's, as of an instant.
            made: what the registry has of the run with these parameters; BackendDownError: that cannot be told now.
        """
        self._backend, self._version, self._parameters, self._made = backend, version, parameters, made

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
            return self._verdict(status.parameters)
        failed = f"step {', '.join(status.failed)} failed" if status.failed else f"the run {status.state}"
        return Outcome("failed", failed)

    def _verdict(self, parameters: Mapping[str, Any]) -> Outcome:
        """A pipeline that ends well may have refused its model: the registry says."""
        made = self._made(parameters)
        if made is None:
            return Outcome("failed", "the run ended well, but the registry has no version that it made")
        return Outcome("accepted" if made.status == "accepted" else "refused", "; ".join(made.reasons))
