"""How a run of the training pipeline ended."""

from dataclasses import dataclass

from fairlead.retraining.entries import OutcomeKind


@dataclass(frozen=True)
class Outcome:
    """The end of a run."""

    kind: OutcomeKind
    detail: str = ""
