"""Counts by window: what a decision reads, and how running counters become it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from fairlead.errors import RolloutError


@dataclass(frozen=True, slots=True)
class Counts:
    """One arm in one window, or a counter of one server since it started."""

    requests: int = 0
    errors: int = 0
    """Answers that are the server's fault: 5xx, and none at all."""
    slow: int = 0
    """Answers slower than stable's 95th percentile of the hour before."""

    def __post_init__(self) -> None:
        if not (0 <= self.errors <= self.requests and 0 <= self.slow <= self.requests):
            raise RolloutError(
                f"errors and slow answers must be within 0 and the requests, but are {self.errors} and {self.slow} "
                f"of {self.requests}"
            )

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.requests + other.requests, self.errors + other.errors, self.slow + other.slow)


@dataclass(frozen=True, slots=True)
class Window:
    """Both arms in the same stretch of time."""

    start: datetime
    seconds: float
    stable: Counts = field(default_factory=Counts)
    candidate: Counts = field(default_factory=Counts)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return self.start + timedelta(seconds=self.seconds)


@dataclass(frozen=True, slots=True)
class Reading:
    """Three running counters of one server, read one after the other."""

    requests: int
    errors: int
    slow: int


def increase(before: Mapping[str, Reading], after: Mapping[str, Reading]) -> Counts:
    """What all servers of an arm counted between two readings, by the name of the server.

    A server restarts with all its counters at 0, so where one of them went down, all count from 0: at most what came
    between the earlier reading and the restart is lost, and nothing is negative. A server that was not there before
    counts from 0, one that is gone counts nothing. The counters are read one after the other under load, so that an
    error may be there whose request is not: errors and slow answers are cut at the requests.
    """
    total = Counts()
    for name, now in after.items():
        then = before.get(name, Reading(0, 0, 0))
        if now.requests < then.requests or now.errors < then.errors or now.slow < then.slow:
            then = Reading(0, 0, 0)
        requests = now.requests - then.requests
        total += Counts(requests, min(now.errors - then.errors, requests), min(now.slow - then.slow, requests))
    return total


def require_order(windows: Sequence[Window]) -> None:
    """Refuse windows that overlap or go back in time: a request would count twice.

    Raises:
        RolloutError: they do.
    """
    for earlier, later in pairwise(windows):
        if later.start < earlier.end:
            raise RolloutError(
                f"windows must follow each other, but one starts at {later.start.isoformat()}, before the end of the "
                f"one before it at {earlier.end.isoformat()}"
            )
