"""What each step of a pipeline gets on a cluster: `pipelines/steps.yaml`."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from fairlead.spec._base import Duration, Identifier, Spec

_MEMORY = {"Mi": 2**20, "Gi": 2**30}

Cpu = Annotated[str, StringConstraints(pattern=r"^\d+m$|^\d+(\.\d+)?$")]
Memory = Annotated[str, StringConstraints(pattern=r"^\d+(Mi|Gi)$")]
ResourceName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")]


class CpuSpec(Spec):
    """Processors: `500m`, `2`."""

    request: Cpu
    limit: Cpu

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if _cores(self.request) > _cores(self.limit):
            raise ValueError(f"request must not be above limit, but is {self.request!r} with limit {self.limit!r}")
        return self


class MemorySpec(Spec):
    """Memory: `512Mi`, `2Gi`."""

    request: Memory
    limit: Memory

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if _bytes(self.request) > _bytes(self.limit):
            raise ValueError(f"request must not be above limit, but is {self.request!r} with limit {self.limit!r}")
        return self


def _cores(value: str) -> float:
    return int(value[:-1]) / 1000 if value.endswith("m") else float(value)


def _bytes(value: str) -> int:
    return int(value[:-2]) * _MEMORY[value[-2:]]


class StepSpec(Spec):
    """The settings of one step."""

    cpu: CpuSpec
    memory: MemorySpec
    timeout: Duration
    """A step that takes longer is ended. Without one a pod that waits for a missing image would keep its run running
    for ever."""
    retries: int = Field(default=0, ge=0, le=10)
    """How often a failed pod is replaced."""
    cache: bool = True
    """Whether an earlier result of the same code, inputs and parameters is taken."""
    node_selector: dict[str, str] = {}
    """Labels that a node must have."""

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if self.timeout < timedelta(minutes=1):
            raise ValueError(f"timeout must be 1m or more, but is {int(self.timeout.total_seconds())} seconds")
        return self


class StepChanges(Spec):
    """What a step has instead of a default."""

    cpu: CpuSpec | None = None
    memory: MemorySpec | None = None
    timeout: Duration | None = None
    retries: int | None = Field(default=None, ge=0, le=10)
    cache: bool | None = None
    node_selector: dict[str, str] | None = None


class VariablesSpec(Spec):
    """Environment variables of every step; each has the name of its key.

    All are optional to Kubernetes: it would let a pod wait for what is missing until its timeout, while a step names it
    at once.
    """

    config_maps: dict[ResourceName, list[VariableName]] = {}
    secrets: dict[ResourceName, list[VariableName]] = {}


class StepsSpec(Spec):
    """All steps of all pipelines."""

    defaults: StepSpec
    steps: dict[Identifier, StepChanges] = {}
    """Component → what it has instead."""
    variables: VariablesSpec = VariablesSpec()

    def of(self, component: str) -> StepSpec:
        """The settings of a component."""
        changes = self.steps.get(component)
        if changes is None:
            return self.defaults
        return self.defaults.model_copy(update={name: getattr(changes, name) for name in changes.model_fields_set})
