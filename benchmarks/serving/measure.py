"""The measurements: alternating rounds, starts, memory, imports."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.serving.children import Child, cold_start
from benchmarks.serving.cores import pinned
from benchmarks.serving.load import Round
from benchmarks.serving.peers import Peer
from benchmarks.serving.peers._base import ROOT, run_program
from benchmarks.serving.scenarios import Scenario, set_course
from fairlead.packaging.session import ScoringSession

WARM_UP_SECONDS = 1.0
IMPORT_COST = """
import json, re, time
began = time.perf_counter(), time.process_time()
{statement}
taken = time.perf_counter() - began[0], time.process_time() - began[1]
memory = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
print(json.dumps([*taken, memory / 1e6]))
"""


@dataclass(frozen=True)
class Pace:
    """How often and how long."""

    rounds: int
    seconds: float


@dataclass
class Outcome:
    """What came of one scenario: server → its rounds, and the times of `session.run` between them."""

    scenario: Scenario
    rounds: dict[str, list[Round]] = field(default_factory=dict)
    session_us: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Start:
    """Starts of one server from nothing, the files in the page cache."""

    seconds: list[float]
    cpu_seconds: list[float]
    resident_mb: list[float]


@dataclass(frozen=True)
class ImportCost:
    """What `import` costs in a fresh interpreter."""

    seconds: list[float]
    cpu_seconds: list[float]
    resident_mb: list[float]


def run_scenario(
    scenario: Scenario,
    children: list[Child],
    session: ScoringSession,
    folder: Path,
    pace: Pace,
    between: Callable[[], float] | None = None,
) -> Outcome:
    """Warm all servers up, then let them take turns; the answers are checked before and after.

    Args:
        scenario: what is asked.
        children: the servers; those that do not speak the protocol are left out.
        session: knows the right answers.
        folder: for the bodies.
        pace: how often and how long.
        between: measured once a round, where the rounds are to be compared with something.
    """
    courses = set_course(scenario, children, folder)
    for course in courses:
        course.check(session)
        course.run(min(WARM_UP_SECONDS, pace.seconds))
    outcome = Outcome(scenario, {course.child.peer.name: [] for course in courses})
    for _ in range(pace.rounds):
        for course in courses:
            outcome.rounds[course.child.peer.name].append(course.run(pace.seconds))
        if between:
            outcome.session_us.append(between())
    for course in courses:
        course.check(session)
    return outcome


def session_timer(
    scenario: Scenario, graph: Path, folder: Path, cores: tuple[int, ...], pace: Pace
) -> Callable[[], float]:
    """Measures one `session.run` over the scenario's rows on a server's core: the median in microseconds."""
    rows = folder / "rows.npy"
    np.save(rows, np.stack(scenario.batches()))
    command = pinned(run_program("session_time", graph, rows, min(1.0, pace.seconds)), cores)
    return lambda: float(_output(command))


def measure_starts(
    peers: tuple[Peer, ...], bundle: Path, folder: Path, cores: tuple[int, ...], times: int
) -> dict[str, Start]:
    """Start each server from nothing, in turn."""
    starts = {peer.name: Start([], [], []) for peer in peers}
    for _ in range(times):
        for peer in peers:
            seconds, cpu_seconds, resident_mb = cold_start(peer, bundle, folder, cores)
            starts[peer.name].seconds.append(seconds)
            starts[peer.name].cpu_seconds.append(cpu_seconds)
            starts[peer.name].resident_mb.append(resident_mb)
    return starts


def measure_imports(cores: tuple[int, ...], times: int) -> dict[str, ImportCost]:
    """What importing KServe's SDK costs alone, beside importing nothing."""
    costs = {name: ImportCost([], [], []) for name in ("pass", "import kserve")}
    for _ in range(times):
        for statement, cost in costs.items():
            command = [sys.executable, "-W", "ignore", "-c", IMPORT_COST.format(statement=statement)]
            seconds, cpu_seconds, resident_mb = json.loads(_output(pinned(command, cores)))
            cost.seconds.append(seconds)
            cost.cpu_seconds.append(cpu_seconds)
            cost.resident_mb.append(resident_mb)
    return costs


def _output(command: list[str]) -> str:
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
