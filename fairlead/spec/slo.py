"""What callers of a model may rely on, and how soon its silence is noticed: a model's `slo`."""

from datetime import timedelta

from pydantic import Field, field_validator

from fairlead.metrics import LATENCY_SECONDS
from fairlead.spec._base import Duration, Spec


class SloSpec(Spec):
    """Objectives over a month of requests; alerts are about how fast what they leave is used up."""

    availability: float = Field(default=0.999, gt=0.5, lt=1)
    """Share of requests that are answered with another status than 5xx. Mistakes of callers (4xx) are answers."""
    latency_p99_ms: float = 50
    """99% of requests are answered within so many milliseconds; a bound of the server's buckets, as it is counted."""
    min_failures: int = Field(default=5, ge=1)
    """Fewer failed (or slow) requests in an alert's longer window are none: at night one of them is a large share."""
    longest_silence: Duration | None = None
    """No request for so long is an alert: where callers are steady, silence is a broken route. Absent: not watched."""
    watched_within: Duration = timedelta(hours=26)
    """Each job that watches the model must have had a result within so long: a day, and two hours for a late one."""

    @field_validator("latency_p99_ms")
    @classmethod
    def _counted(cls, value: float) -> float:
        bounds = [round(bound * 1000, 3) for bound in LATENCY_SECONDS]
        if value not in bounds:
            raise ValueError(
                f"must be a bound of the buckets in which answers are counted "
                f"({', '.join(f'{bound:g}' for bound in bounds)}), but is {value:g}"
            )
        return value
