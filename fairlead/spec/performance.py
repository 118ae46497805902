"""How a model is judged while it serves: a model's `performance`."""

from datetime import timedelta

from pydantic import Field

from fairlead.spec._base import Duration, Spec


class PerformanceSpec(Spec):
    """What live metrics are made of, and when they are decay."""

    window: Duration = timedelta(days=14)
    """Predictions that were asked for in so long, up to now, are judged."""
    longest_delay: Duration = timedelta(days=2)
    """From asking to the label of nearly all; a prediction that waits longer is overdue."""
    least_rows: int = Field(default=1000, ge=2)
    """Fewer labels are no basis for a judgement."""
    decay: float = Field(default=0.015, ge=0)
    """Decay: the live ROC AUC is by more than this below what the scores of the same rows promise."""
