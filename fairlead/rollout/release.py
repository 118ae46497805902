"""The release document: the one file of an environment and a model that a rollout changes."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BeforeValidator, Field, PlainSerializer, StringConstraints, model_validator

from fairlead.spec._base import KebabName, Spec

Stage = Literal["idle", "shadow", "canary", "promoted", "rolled_back"]
Strategy = Literal["canary", "shadow", "ab", "blue-green"]
Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
"""Of a bundle, as text in the file: '4'."""


def _plain(value: object) -> object:
    """A time that YAML read is of a class of its own; the same moment as a plain one."""
    return datetime.fromisoformat(value.isoformat()) if isinstance(value, datetime) else value


def written(value: datetime) -> str:
    """A moment as the document has it."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


Moment = Annotated[AwareDatetime, BeforeValidator(_plain), PlainSerializer(written, return_type=str)]
"""A time with its zone, written in UTC."""


class Gate(Spec):
    """That a version passed its gates before it got any traffic."""

    version: Version
    run: Annotated[str, StringConstraints(min_length=1)]
    """Where that can be read: a run, or its URL."""


class Approval(Spec):
    """That a person agreed to more traffic."""

    by: Annotated[str, StringConstraints(min_length=1)]
    at: Moment
    what: str


class Release(Spec):
    """Which versions answer, and how far a candidate has come."""

    model: KebabName
    revision: int = Field(default=1, ge=1)
    """Rises by 1 with each change: what was decided on an older revision is void."""
    stage: Stage = "idle"
    strategy: Strategy = "canary"
    stable: Version
    """The version that answers all requests that the candidate does not get."""
    previous: Version | None = None
    """The stable version before this one: the way back after a promotion."""
    candidate: Version | None = None
    weight: int = Field(default=0, ge=0, le=100)
    """Percent of requests that the candidate answers."""
    mirror: int = Field(default=0, ge=0, le=100)
    """Percent of requests copied to the candidate, whose answers nobody sees."""
    gate: Gate | None = None
    """Of the candidate. Without it no request and no copy goes there."""
    started: Moment | None = None
    """When the candidate came."""
    traffic_since: Moment | None = None
    """When the candidate first got requests: evidence counts from then."""
    since: Moment
    """When this stage, or this step of it, began."""
    hold: str | None = None
    """Why nothing goes on until a person resumes it. Harm still rolls back."""
    waiting: str | None = None
    """What a person is asked to decide."""
    approvals: list[Approval] = []
    """For this candidate."""
    refused: list[Version] = []
    """Versions that were rolled back. They come back only if a person starts them again and says so."""
    why: str = ""
    """Of the last change."""

    @model_validator(mode="after")
    def _one_state(self) -> "Release":
        """Each stage allows one form. The first word of a message is the key that breaks the rule."""
        if self.candidate is None:
            self._without_candidate()
        else:
            self._with_candidate(self.candidate)
        if self.previous == self.stable:
            raise ValueError(f"previous must be another version than the stable one, but both are {self.stable!r}")
        if len(set(self.refused)) != len(self.refused):
            raise ValueError(f"refused names a version twice: {', '.join(self.refused)}")
        if self.stable in self.refused:
            raise ValueError(f"stable must not be {self.stable!r}, which was rolled back")
        return self

    def _without_candidate(self) -> None:
        if self.stage not in ("idle", "rolled_back"):
            raise ValueError(f"stage {self.stage} needs a candidate, but there is none")
        for name in ("weight", "mirror"):
            if getattr(self, name):
                raise ValueError(f"{name} must be 0 without a candidate, but is {getattr(self, name)}")
        for name in ("gate", "started", "traffic_since", "waiting"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name} must be absent without a candidate")
        if self.approvals:
            raise ValueError("approvals must be absent without a candidate")

    def _with_candidate(self, candidate: str) -> None:
        if self.stage in ("idle", "rolled_back"):
            raise ValueError(f"candidate must be absent in stage {self.stage}, but is {candidate!r}")
        if candidate in self.refused:
            raise ValueError(f"candidate {candidate!r} was rolled back; start it again to try it again")
        if self.gate is None or self.gate.version != candidate:
            shown = "it is missing" if self.gate is None else f"is of {self.gate.version!r}"
            raise ValueError(f"gate must show that the candidate {candidate!r} passed its gates, but {shown}")
        if self.started is None:
            raise ValueError("started is required with a candidate, but missing")
        if (self.candidate == self.stable) != (self.stage == "promoted"):
            raise ValueError(
                f"candidate must be the stable version in stage promoted and another one before, but in stage "
                f"{self.stage} they are {candidate!r} and {self.stable!r}"
            )
        if self.stage == "promoted" and self.previous is None:
            raise ValueError(f"previous must be the version before {self.stable!r} in stage promoted, but is missing")
        self._traffic_fits_the_stage()

    def _traffic_fits_the_stage(self) -> None:
        if self.stage == "shadow" and (self.weight or not self.mirror):
            raise ValueError(
                f"weight must be 0 and mirror above 0 in stage shadow, but are {self.weight} and {self.mirror}"
            )
        if self.stage != "shadow" and self.mirror:
            raise ValueError(f"mirror must be 0 in stage {self.stage}, but is {self.mirror}")
        if self.stage == "canary" and not self.weight:
            raise ValueError("weight must be above 0 in stage canary, but is 0")
        if self.stage == "canary" and self.strategy == "shadow":
            raise ValueError("stage canary is not one of the strategy shadow: nobody sees its candidate")
        if self.stage == "promoted" and self.weight != 100:
            raise ValueError(f"weight must be 100 in stage promoted, but is {self.weight}")
        if (self.traffic_since is not None) != (self.weight > 0):
            raise ValueError("traffic_since must be there if and only if the candidate has weight")
