"""The entries of a model's retraining log: what happened, in order. The log is all the state there is."""

from datetime import UTC
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from fairlead.spec.retraining import Trigger

Instant = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
Reason = Literal[
    "free", "overridden", "not_listened_to", "held", "running", "backing_off", "cooling_down", "budget", "few_labels"
]
"""`free` and `overridden` start a retraining, the others refuse it; of several the first in this order is told."""
OutcomeKind = Literal["accepted", "refused", "failed"]
"""A challenger; a model that its gates refused; or no model."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    at: Instant
    """By the clock of the machine that wrote it: clocks differ, the order of the log does not."""


class Asked(_Entry):
    """Somebody asks for a retraining."""

    kind: Literal["asked"] = "asked"
    key: str
    """Names the request: one that comes again with the same key is the same one."""
    trigger: Trigger
    by: str
    """A person, or the name of an alert."""
    why: str = ""
    standing: bool = False
    """It holds until it is served or withdrawn, as a firing alert does; otherwise it is answered once."""
    override: bool = False
    """A person takes it upon themselves: only a run under way refuses."""


class Withdrawn(_Entry):
    """What was asked for is no longer needed: the alert has resolved."""

    kind: Literal["withdrawn"] = "withdrawn"
    key: str


class Answered(_Entry):
    """The brakes' answer. Where it is to start, the run counts as under way from here on."""

    kind: Literal["answered"] = "answered"
    key: str
    trigger: Trigger
    started: bool
    reason: Reason
    detail: str
    until: Instant | None = None
    """When a refusal may become something else, if the clock alone decides that."""
    new_labels: int
    run: str = ""
    """The name of the run that was started."""


class Began(_Entry):
    """The backend has taken a run."""

    kind: Literal["began"] = "began"
    run: str
    run_id: str
    """The backend's own name for it."""


class Ended(_Entry):
    """A run is over."""

    kind: Literal["ended"] = "ended"
    run: str
    outcome: OutcomeKind
    detail: str = ""


class Held(_Entry):
    """A person stops all retraining."""

    kind: Literal["held"] = "held"
    by: str
    why: str


class Released(_Entry):
    """A person ends a hold and a back-off."""

    kind: Literal["released"] = "released"
    by: str
    why: str = ""


Entry = Annotated[Asked | Withdrawn | Answered | Began | Ended | Held | Released, Field(discriminator="kind")]
ENTRY: TypeAdapter[Entry] = TypeAdapter(Entry)
