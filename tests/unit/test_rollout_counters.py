"""From running counters to windows: nothing counts twice, nothing is negative, whatever restarts or is not scraped."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from fairlead.metrics import LATENCY_SECONDS
from fairlead.rollout.counters import Snapshot, Tally, evidence_of, windows_of
from fairlead.rollout.release import Gate, Release
from fairlead.spec.model import RolloutSpec

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SIZE = len(LATENCY_SECONDS) + 1
PLACE = 3
Step = tuple[int, bool, bool]
"""Requests in a window, whether the server restarts before them, whether it is scraped after them."""
steps = st.lists(st.tuples(st.integers(0, 50), st.booleans(), st.booleans()), min_size=1, max_size=30)


def tally(requests: int, errors: int = 0) -> Tally:
    return Tally(requests, errors, (requests,) * SIZE)


def at(number: int) -> datetime:
    return NOW + timedelta(seconds=30 * number)


def snapshots(path: list[Step]) -> list[Snapshot]:
    found, count = [Snapshot(NOW, {"a": tally(7)}, {})], 7
    for number, (requests, restarts, scraped) in enumerate(path, start=1):
        count = requests if restarts else count + requests
        found.append(Snapshot(at(number), {"a": tally(count)} if scraped else {}, {}))
    return found


@given(steps)
def test_without_restarts_all_windows_together_are_what_was_counted_when_last_seen(path):
    path = [(requests, False, scraped) for requests, _, scraped in path]
    found = snapshots(path)
    last = next(snapshot.stable["a"].requests for snapshot in reversed(found) if snapshot.stable)
    assert sum(window.stable.requests for window in windows_of(found, PLACE)) == last - 7


@given(steps)
def test_restarts_and_lost_scrapes_never_add_a_request(path):
    windows = windows_of(snapshots(path), PLACE)
    assert all(window.stable.requests >= 0 for window in windows)
    assert sum(window.stable.requests for window in windows) <= sum(requests for requests, _, _ in path)


@given(st.integers(1, 5), st.integers(0, 1000))
def test_a_server_that_is_new_counts_from_nothing(number, requests):
    found = [Snapshot(at(0), {"a": tally(9)}, {})]
    found += [Snapshot(at(index), {"a": tally(9), "b": tally(requests)}, {}) for index in range(1, number + 1)]
    assert [window.stable.requests for window in windows_of(found, PLACE)] == [requests] + [0] * (number - 1)


def test_latency_that_no_bucket_can_tell_is_said_and_holds():
    release = Release(
        model="m", stage="canary", stable="3", candidate="4", weight=5, gate=Gate(version="4", run="r"),
        started=NOW, traffic_since=NOW, since=NOW,
    )  # fmt: skip
    hour = [Snapshot(at(number), {"a": tally(100 * (number + 200))}, {}) for number in range(-125, 3)]
    evidence = evidence_of(hour, LATENCY_SECONDS, release, RolloutSpec(), at(2))
    assert evidence.reference.slow is None
    assert "no bucket of the latency histogram" in (evidence.unclear or "")
    without = evidence_of(hour, LATENCY_SECONDS, release, RolloutSpec(latency=None), at(2))
    assert without.unclear is None
    assert without.reference.enough
