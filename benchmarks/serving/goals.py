"""The figures that were promised, from what was measured."""

import statistics
from dataclasses import dataclass

from benchmarks.serving.measure import Outcome, Start
from benchmarks.serving.peers import KSERVE, LEAN, OURS

MIN_TIMES_LEAN = 2.0
MIN_TIMES_KSERVE = 10.0
MIN_RUNTIME_SHARE = 0.75
MIN_TIMES_ONE_PROCESS = 1.8
MAX_RESIDENT_MB = 180.0
MAX_START_SECONDS = 3.0


@dataclass(frozen=True)
class Figure:
    """One figure in each round, beside its goal."""

    name: str
    unit: str
    values: list[float]
    goal: float | None = None
    at_most: bool = False

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def is_met(self) -> bool | None:
        """None: there is no goal."""
        if self.goal is None:
            return None
        return self.median <= self.goal if self.at_most else self.median >= self.goal


def compare(outcome: Outcome, server: str, other: str, goal: float | None) -> list[Figure]:
    """Requests a second of one server over those of another, round by round; empty if one of them did not run."""
    if not {server, other} <= outcome.rounds.keys():
        return []
    pairs = zip(outcome.rounds[server], outcome.rounds[other], strict=True)
    ratios = [left.requests_a_second / right.requests_a_second for left, right in pairs]
    return [Figure(f"{server} / {other}, {outcome.scenario.name}", "x", ratios, goal)]


def compare_costs(outcome: Outcome, server: str, other: str) -> list[Figure]:
    """How many times less processor time a request takes in one server than in another.

    With a core for each this is the ratio of requests a second. Where neighbours leave one of them less of its core,
    it is nearer to the truth.
    """
    if not {server, other} <= outcome.rounds.keys():
        return []
    pairs = zip(outcome.rounds[server], outcome.rounds[other], strict=True)
    ratios = [right.server_cpu_us / left.server_cpu_us for left, right in pairs]
    return [Figure(f"{server} / {other}, {outcome.scenario.name}, by CPU time", "x", ratios)]


def peers_compared(outcome: Outcome) -> list[Figure]:
    """Ours beside the lean server and the SDK as it comes."""
    figures: list[Figure] = []
    for other, goal in ((LEAN.name, MIN_TIMES_LEAN), (KSERVE.name, MIN_TIMES_KSERVE)):
        figures += compare(outcome, OURS.name, other, goal) + compare_costs(outcome, OURS.name, other)
    return figures


def runtime_share(outcome: Outcome) -> list[Figure]:
    """The share of its time that our server is in ONNX Runtime: time of a run alone x runs a second.

    By the clock it falls when neighbours take the server's core away; by the server's own processor time it does not.
    """
    if OURS.name not in outcome.rounds or not outcome.session_us:
        return []
    pairs = list(zip(outcome.session_us, outcome.rounds[OURS.name], strict=True))
    name = f"share in ONNX Runtime, {outcome.scenario.name}"
    by_clock = [us * item.requests_a_second / 1e6 for us, item in pairs]
    by_processor = [us / item.server_cpu_us for us, item in pairs]
    alone = Figure(f"session.run alone, {outcome.scenario.rows} rows", "us", outcome.session_us)
    return [alone, Figure(name, "", by_clock, MIN_RUNTIME_SHARE), Figure(f"{name}, by CPU time", "", by_processor)]


def starts_and_memory(starts: dict[str, Start], after_load_mb: dict[str, float]) -> list[Figure]:
    """Of our server."""
    figures = []
    if OURS.name in after_load_mb:
        figures += [
            Figure("memory of a worker after the load", "MB", [after_load_mb[OURS.name]], MAX_RESIDENT_MB, True)
        ]
    if OURS.name in starts:
        figures += [Figure("cold start", "s", starts[OURS.name].seconds, MAX_START_SECONDS, True)]
        figures += [Figure("cold start, by CPU time", "s", starts[OURS.name].cpu_seconds)]
    return figures
