"""Running counters of servers, as they are read, and the windows and the reference that they make. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from fairlead.errors import RolloutError
from fairlead.rollout.decide import SILENT_WINDOWS
from fairlead.rollout.reference import Reference, SlowAnswers, slow_answers
from fairlead.rollout.release import Release
from fairlead.rollout.stages import evidence_begins
from fairlead.rollout.windows import Reading, Window, increase
from fairlead.spec.model import RolloutSpec

REFERENCE_WINDOWS = 120
"""Before the candidate came: an hour of windows of 30 s."""
MARGIN_WINDOWS = 6
"""Read before those, so that a server that was not scraped for a moment is not taken for a new one."""
SURE = 1e-6
"""So unlikely must it be that a living candidate got none of the requests."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What one server has counted since it started."""

    requests: int
    errors: int
    below: tuple[int, ...]
    """Answers within each bound of the latency histogram, rising, and as the last one all of them."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All servers of both arms at one moment, by the name of the server."""

    at: datetime
    stable: Mapping[str, Tally]
    candidate: Mapping[str, Tally]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a decision is made from."""

    windows: list[Window]
    """Since the candidate's first traffic."""
    reference: Reference
    blind: str | None = None
    """Why the newest counts cannot be relied on; None: they can."""
    gone: str | None = None
    """Why the candidate is taken for dead: it had requests and has none any more; None: it is not."""
    unclear: str | None = None
    """Why latency cannot be judged though it should be; None: it can, or need not."""


def snapshots_begin(release: Release, spec: RolloutSpec) -> datetime:
    """The first moment at which counters are needed."""
    windows = REFERENCE_WINDOWS + MARGIN_WINDOWS
    return evidence_begins(release) - timedelta(seconds=windows * spec.window_seconds)


def evidence_of(
    snapshots: Sequence[Snapshot], bounds: Sequence[float], release: Release, spec: RolloutSpec, now: datetime
) -> Evidence:
    """Windows and reference of a release, from snapshots since `snapshots_begin`.

    Args:
        snapshots: in order; any may lack servers.
        bounds: of the latency histogram in seconds, rising, without infinity.
        release: in stage shadow or canary.
        spec: the model's.
        now: with which the newest snapshot is compared.
    """
    since = evidence_begins(release)
    before = [snapshot for snapshot in snapshots if snapshot.at <= since]
    slow, unclear = _slow(before[-REFERENCE_WINDOWS - 1 :], bounds, spec)
    place = len(bounds) if slow is None else list(bounds).index(slow.threshold_seconds)
    windows = windows_of(snapshots, place)
    start = since - timedelta(seconds=REFERENCE_WINDOWS * spec.window_seconds)
    hour = [window for window in windows if start <= window.start and window.end <= since]
    used = [window for window in windows if window.start >= since]
    return Evidence(
        windows=used,
        reference=Reference.of(hour, slow),
        blind=_blind(snapshots, spec, now, any(window.candidate.requests for window in used)),
        gone=_gone(used, release),
        unclear=unclear,
    )


def windows_of(snapshots: Sequence[Snapshot], place: int) -> list[Window]:
    """What was counted between each two snapshots; `place` is the bound in `below` above which an answer is slow.

    A server that is missing from a snapshot keeps the counters that it was last seen with, until it is seen again: a
    scrape that failed must not make all that a server ever counted look like news.
    """
    stable: dict[str, Tally] = {}
    candidate: dict[str, Tally] = {}
    windows = []
    for earlier, later in pairwise(snapshots):
        stable, candidate = {**stable, **earlier.stable}, {**candidate, **earlier.candidate}
        windows.append(
            Window(
                start=earlier.at,
                seconds=(later.at - earlier.at).total_seconds(),
                stable=increase(_readings(stable, place), _readings(later.stable, place)),
                candidate=increase(_readings(candidate, place), _readings(later.candidate, place)),
            )
        )
    return windows


def _readings(tallies: Mapping[str, Tally], place: int) -> dict[str, Reading]:
    return {
        name: Reading(tally.requests, tally.errors, tally.below[-1] - tally.below[min(place, len(tally.below) - 1)])
        for name, tally in tallies.items()
    }


def _slow(
    before: Sequence[Snapshot], bounds: Sequence[float], spec: RolloutSpec
) -> tuple[SlowAnswers | None, str | None]:
    """What counts as slow, or why it is not known; neither where latency is not judged."""
    if spec.latency is None:
        return None, None
    try:
        return slow_answers(bounds, _histogram(before, len(bounds) + 1), margin=spec.latency.margin), None
    except RolloutError as error:
        return None, str(error)


def _histogram(snapshots: Sequence[Snapshot], size: int) -> list[int]:
    """What all servers of stable counted between the first snapshot and the last, by bucket, cumulative."""
    counts = [0] * size
    seen = dict(snapshots[0].stable) if snapshots else {}
    for snapshot in snapshots[1:]:
        for name, tally in snapshot.stable.items():
            then = seen.get(name)
            started = then is None or tally.below[-1] < then.below[-1]
            base = [0] * size if then is None or started else then.below
            counts = [total + max(now - old, 0) for total, now, old in zip(counts, tally.below, base, strict=True)]
            seen[name] = tally
    return counts


def _blind(snapshots: Sequence[Snapshot], spec: RolloutSpec, now: datetime, seen: bool) -> str | None:
    if not snapshots:
        return "there are no counters"
    newest = snapshots[-1]
    age = (now - newest.at).total_seconds()
    if age > 4 * spec.window_seconds:
        return f"the newest counters are {age:.0f} s old"
    if not newest.stable:
        return "no server of the stable version is counted"
    if seen and not newest.candidate:
        return "the candidate's servers were counted and are not any more"
    return None


def _gone(windows: Sequence[Window], release: Release) -> str | None:
    """Each request goes to a living candidate with the weight's chance: of n, none does with (1 - weight)^n."""
    last = windows[-SILENT_WINDOWS:]
    answered = sum(window.candidate.requests for window in windows)
    if release.stage != "canary" or len(last) < SILENT_WINDOWS or not answered:
        return None
    stable = sum(window.stable.requests for window in last)
    if any(window.candidate.requests for window in last) or (1 - release.weight / 100) ** stable > SURE:
        return None
    seconds = sum(window.seconds for window in last)
    return (
        f"The candidate answered {answered} requests and none in the last {seconds:g} s, in which stable answered "
        f"{stable}: its servers are gone."
    )
