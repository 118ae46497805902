"""Counters of servers in dictionaries: for tests of what is decided on them."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from fairlead import metrics as catalogue
from fairlead.errors import CountsError, CountsMissingError
from fairlead.rollout.counters import Snapshot, Tally
from fairlead.rollout.release import Release

SERVER_ERROR = 500


@dataclass
class MemoryServer:
    """One server of an arm; `restart` sets its counters to 0."""

    arm: str
    version: str
    requests: int = 0
    errors: int = 0
    below: list[int] = field(default_factory=lambda: [0] * (len(catalogue.LATENCY_SECONDS) + 1))

    def answer(self, status: int, seconds: float, times: int = 1) -> None:
        """Count some answers."""
        self.requests += times
        self.errors += times if status >= SERVER_ERROR else 0
        for place in range(bisect_left(catalogue.LATENCY_SECONDS, seconds), len(self.below)):
            self.below[place] += times

    def restart(self) -> None:
        """As a pod that is started again."""
        self.requests, self.errors, self.below = 0, 0, [0] * len(self.below)


class MemoryCounters:
    """`ReleaseCounters` over servers of this process. Copies are answered by servers of the arm `copies`."""

    def __init__(self) -> None:
        self.servers: dict[str, MemoryServer] = {}
        self.away = False
        """Whether nothing can be read now."""
        self._kept: list[tuple[datetime, dict[str, tuple[str, Tally]]]] = []

    @property
    def bounds(self) -> Sequence[float]:
        """Those that our servers count by."""
        return catalogue.LATENCY_SECONDS

    def keep(self, at: datetime) -> None:
        """Remember all counters as those of a moment; what was kept of later ones, before the clock went back, goes."""
        if not self.away:
            self._kept = [entry for entry in self._kept if entry[0] < at]
            self._kept.append((at, {name: (one.arm, _tally(one)) for name, one in self.servers.items()}))

    def require(self, model: str) -> None:
        """Return if there are servers."""
        self._reach()
        if not self.servers:
            raise CountsMissingError(f"there must be a server of {model}, but there is none")

    def snapshots(self, release: Release, start: datetime, end: datetime, seconds: float) -> list[Snapshot]:
        """Those that were kept."""
        self._reach()
        candidate = "copies" if release.stage == "shadow" else "candidate"
        return [
            Snapshot(at, _of_arm(servers, "stable"), _of_arm(servers, candidate))
            for at, servers in self._kept
            if start <= at <= end
        ]

    def answering(self, release: Release) -> Mapping[str, str]:
        """The servers of stable."""
        self._reach()
        return {name: one.version for name, one in self.servers.items() if one.arm == "stable"}

    def _reach(self) -> None:
        if self.away:
            raise CountsError("the counters are away")


def _tally(server: MemoryServer) -> Tally:
    return Tally(server.requests, server.errors, tuple(server.below))


def _of_arm(servers: Mapping[str, tuple[str, Tally]], arm: str) -> dict[str, Tally]:
    return {name: tally for name, (of, tally) in servers.items() if of == arm}
