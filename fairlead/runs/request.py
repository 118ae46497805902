"""What is asked of a pipeline backend, and what it answers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fairlead.errors import PipelineError

MAX_PARAMETER_BYTES = 128 * 1024
"""A longer parameter does not fit into the command line of a step's launcher."""

StepState = Literal["waiting", "running", "succeeded", "skipped", "failed"]
RunState = Literal["waiting", "running", "succeeded", "failed", "cancelled"]
ENDED: frozenset[RunState] = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True)
class PinnedVersion:
    """One version of a pipeline, by the backend's own ids. There is no newest one: what is newest is another tomorrow,
    and stays the same when Git goes back."""

    pipeline: str
    name: str
    pipeline_id: str
    version_id: str


@dataclass(frozen=True)
class RunRequest:
    """A run that is to start."""

    version: PinnedVersion
    name: str
    experiment: str
    """Under which the UI lists it."""
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class RunStatus:
    """How far a run is."""

    run_id: str
    state: RunState
    steps: Mapping[str, StepState] = field(default_factory=dict)
    """Task → its state, as far as the backend knows it."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """That the run was started with."""

    @property
    def failed(self) -> list[str]:
        """The tasks that failed."""
        return [task for task, state in self.steps.items() if state == "failed"]


@dataclass(frozen=True)
class Repetition:
    """A run that the backend repeats by the clock."""

    name: str
    version: PinnedVersion
    cron: str
    parameters: Mapping[str, Any]
    max_concurrency: int
    experiment: str


@dataclass(frozen=True)
class KnownRepetition:
    """A repetition that the backend has; several may have one name."""

    id: str
    name: str
    version_id: str
    note: str


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Refuse what the backend would take and then fail on.

    Raises:
        PipelineError: a parameter is too long.
    """
    for name, value in parameters.items():
        size = len((value if isinstance(value, str) else json.dumps(value)).encode())
        if size > MAX_PARAMETER_BYTES:
            raise PipelineError(f"parameter {name} must not be above {MAX_PARAMETER_BYTES:,} bytes, but has {size:,}")
