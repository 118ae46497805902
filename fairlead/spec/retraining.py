"""When a model may be trained anew, and when it must not: a model's `retraining`."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from fairlead.spec._base import Duration, Spec

Trigger = Literal["drift", "decay", "schedule", "person"]


class RetrainingSpec(Spec):
    """Who may ask for a retraining, and the brakes that answer."""

    on: Annotated[list[Literal["drift", "decay", "schedule"]], Field(min_length=1)] = ["drift", "decay", "schedule"]
    """What is listened to; a person always is."""
    novelty: float = Field(default=0.5, gt=0, le=1)
    """Drift asks where so large a share of a week's rows holds a number beyond what the champion was fitted to."""
    growth: float = Field(default=0.5, gt=0)
    """The schedule asks when labels have grown by this share since the training: the older, the more rarely."""
    cool_down: Duration = timedelta(days=14)
    """After a retraining was started, none is for so long."""
    min_new_labels: int = Field(default=5000, ge=0)
    """Labels that must have become known since the champion's training."""
    max_runs_a_month: int = Field(default=3, ge=1)
    """Retrainings started in a calendar month (UTC), failed ones included."""
    max_runs_a_year: int | None = Field(default=None, ge=1)
    """The same in a calendar year; null: no bound."""
    retry_after: Duration = timedelta(hours=1)
    """A failed retraining may be tried again after so long; the cool-down is for those that ended well."""
    failures_in_a_row: int = Field(default=3, ge=1)
    """After so many, `back_off` holds: something is broken that trying again does not mend."""
    back_off: Duration = timedelta(days=7)
    """How long; then one try. A person's `release` ends it at once."""
    longest_run: Duration = timedelta(hours=12)
    """A run whose end nobody has told after so long has failed."""
