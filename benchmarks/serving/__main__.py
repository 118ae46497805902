"""How fast our server is beside its peers on this machine: `make bench-serving`.

Each server has one process, one thread in ONNX Runtime and one core; wrk has another. They take turns in short rounds,
so that a busy machine is unfair to all alike: trust the ratios more than the rates. Before and after the rounds of
each scenario, answers are compared with ONNX Runtime's.
"""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from benchmarks.serving import goals, report
from benchmarks.serving.children import running
from benchmarks.serving.cores import Cores, available_cores, share_cores
from benchmarks.serving.load import find_wrk
from benchmarks.serving.measure import Outcome, Pace, measure_imports, measure_starts, run_scenario, session_timer
from benchmarks.serving.peers import CEILING, OURS, ROSTER, Ours, Peer
from benchmarks.serving.scenarios import BINARY, ONE_ROW, SCENARIOS, Scenario
from benchmarks.serving.subject import make_bundle
from fairlead.packaging.bundle import MODEL_FILE
from fairlead.packaging.session import ScoringSession

QUICK = Pace(rounds=2, seconds=1.0)
STARTS = 3


@dataclass(frozen=True)
class Bench:
    """What all measurements share."""

    folder: Path
    bundle: Path
    session: ScoringSession
    cores: Cores
    pace: Pace


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all that is asked for, and print as it goes."""
    options = _parser().parse_args(arguments)
    find_wrk()
    signal.signal(signal.SIGTERM, _leave)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    pace = QUICK if options.quick else Pace(options.rounds, options.seconds)
    peers = tuple(peer for peer in ROSTER if not options.peer or peer.name in options.peer)
    available = available_cores()
    cores = share_cores(available)
    environment = report.environment()
    report.print_head(environment, cores, pace, peers)
    content: report.Content = {"environment": environment, "pace": asdict(pace), "cores": asdict(cores)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        session = make_bundle(folder / "bundle")
        os.sched_setaffinity(0, cores.client)
        bench = Bench(folder, folder / "bundle", session, cores, pace)
        content |= measure(bench, tuple(peer for peer in peers if peer.missing() is None), options.scenario)
        if options.workers > 1:
            content["workers"] = measure_workers(bench, options.workers, available)
    if options.json:
        report.write_json(options.json, content)


def measure(bench: Bench, peers: tuple[Peer, ...], only: str | None) -> report.Content:
    """The peers beside each other, then what starting and importing costs; `only`: a part of a scenario's name."""
    scenarios = [item for item in SCENARIOS if only is None or only in item.name]
    outcomes, resident_mb = compare_peers(bench, peers, scenarios)
    figures = [figure for item in outcomes for figure in _figures(item)]
    content: report.Content = {"resident_mb": resident_mb}
    if only is None:
        times = min(STARTS, bench.pace.rounds)
        starts = measure_starts(peers, bench.bundle, bench.folder, bench.cores.server, times)
        imports = measure_imports(bench.cores.server, times)
        report.print_starts(starts, resident_mb)
        report.print_imports(imports)
        figures += goals.starts_and_memory(starts, resident_mb)
        content |= {"starts": starts, "imports": imports}
    report.print_figures(figures)
    return {**content, "scenarios": outcomes, "figures": figures}


def compare_peers(
    bench: Bench, peers: tuple[Peer, ...], scenarios: list[Scenario]
) -> tuple[list[Outcome], dict[str, float]]:
    """All scenarios, and the resident set of each server afterwards."""
    outcomes = []
    with running((*peers, CEILING), bench.bundle, bench.folder, bench.cores.server) as children:
        for scenario in scenarios:
            between = None
            if scenario == BINARY:
                graph = bench.bundle / MODEL_FILE
                between = session_timer(scenario, graph, bench.folder, bench.cores.server, bench.pace)
            outcomes.append(run_scenario(scenario, children, bench.session, bench.folder, bench.pace, between))
            report.print_outcome(outcomes[-1])
        return outcomes, {child.peer.name: child.resident_mb() for child in children if child.peer.checked}


def measure_workers(bench: Bench, workers: int, available: list[int]) -> report.Content | None:
    """Several processes of our server against one, on as many cores."""
    many = Ours(workers)
    if many.missing():
        print(f"\n{many.name}: not measured: {many.missing()}")
        return None
    cores = share_cores(available, workers)
    os.sched_setaffinity(0, cores.client)
    print(f"\n{many.name}: {cores}")
    if not cores.apart:
        print(f"  {len(available)} cores cannot show it: wrk takes from {workers} processes what one would leave it")
    with running((OURS, many), bench.bundle, bench.folder, cores.server) as children:
        scenarios = (ONE_ROW, BINARY)
        outcomes = [run_scenario(item, children, bench.session, bench.folder, bench.pace) for item in scenarios]
    for outcome in outcomes:
        report.print_outcome(outcome)
    goal = goals.MIN_TIMES_ONE_PROCESS if cores.apart else None
    figures = [figure for item in outcomes for figure in goals.compare(item, many.name, OURS.name, goal)]
    report.print_figures(figures)
    return {"cores": cores, "scenarios": outcomes, "figures": figures}


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)  # on the way out the servers are stopped


def _figures(outcome: Outcome) -> list[goals.Figure]:
    if outcome.scenario == ONE_ROW:
        return goals.peers_compared(outcome)
    return goals.runtime_share(outcome)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each server in each scenario")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a round")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 1 s: to see that it works")
    parser.add_argument("--peer", action="append", help="only this server; may repeat")
    parser.add_argument("--scenario", help="only scenarios whose name holds this, and neither starts nor imports")
    parser.add_argument("--workers", type=int, default=1, help="also this many processes of ours against one")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


if __name__ == "__main__":
    main()
