"""What is printed, and the same as JSON."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.serving.cores import Cores
from benchmarks.serving.goals import Figure
from benchmarks.serving.load import Round, find_wrk
from benchmarks.serving.measure import ImportCost, Outcome, Pace, Start
from benchmarks.serving.peers import CEILING, LEAN, Peer
from benchmarks.serving.peers.mlserver import ENVIRONMENT

Content = dict[str, Any]
"""What becomes JSON."""

PACKAGES = (
    "fastapi",
    "uvicorn",
    "uvloop",
    "httptools",
    "orjson",
    "numpy",
    "onnxruntime",
    "lightgbm",
    "kserve",
    "mlflow",
)


def environment() -> dict[str, str]:
    """The machine and the versions."""
    model = next((line.split(": ")[1] for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?")
    found = {"machine": f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"}
    found["load"] = " ".join(f"{value:.1f}" for value in os.getloadavg())
    found["python"] = platform.python_version()
    # It ends with code 1 after it has told its version.
    told = subprocess.run([find_wrk(), "--version"], capture_output=True, text=True, check=False).stdout
    found["wrk"] = told.split()[1] if told else "?"
    installed = ENVIRONMENT.glob("lib/python3*/site-packages/mlserver-*.dist-info")
    found["mlserver"] = next((folder.name.removesuffix(".dist-info").split("-")[1] for folder in installed), "none")
    return found | {name: version(name) for name in PACKAGES}


def print_head(found: dict[str, str], cores: Cores, pace: Pace, peers: Iterable[Peer]) -> None:
    print(", ".join(f"{name} {value}" for name, value in found.items()))
    print(f"{cores}{'' if cores.apart else ' (shared: the figures are too low)'}")
    print(f"rounds of {pace.seconds:g} s in turn, {pace.rounds} each after a warm-up: median [lowest, highest]")
    for peer in peers:
        if remark := peer.missing() or peer.remark:
            print(f"  {peer.name}: {remark}")


def print_outcome(outcome: Outcome) -> None:
    print(f"\n{outcome.scenario.name}")
    print(
        f"  {'server':<22}{'requests/s':>26}{'x lean':>8}{'p50 ms':>8}{'p99 ms':>8}{'CPU us':>8}{'server':>8}{'wrk':>6}"
    )
    lean = outcome.rounds.get(LEAN.name)
    for name, rounds in outcome.rounds.items():
        print(f"  {name:<22}{_row(rounds, lean)}{'  (the generator’s ceiling)' * (name == CEILING.name)}")


def _row(rounds: list[Round], lean: list[Round] | None) -> str:
    rates = [item.requests_a_second for item in rounds]
    ratio = statistics.median(rates) / statistics.median(item.requests_a_second for item in lean) if lean else None
    cells = [f"{statistics.median(rates):,.0f} [{min(rates):,.0f}, {max(rates):,.0f}]".rjust(26)]
    cells += [f"{ratio:8.2f}" if ratio else "–".rjust(8)]
    cells += [f"{_median(rounds, name):8.{digits}f}" for name, digits in (("p50_ms", 2), ("p99_ms", 2))]
    cells += [f"{_median(rounds, 'server_cpu_us'):8.0f}", f"{_median(rounds, 'server_busy'):8.0%}"]
    return "".join(cells) + f"{_median(rounds, 'client_busy'):6.0%}"


def print_starts(starts: dict[str, Start], after_load_mb: dict[str, float]) -> None:
    print(f"\n  {'server':<22}{'cold start s':>22}{'of CPU s':>10}{'MB then':>10}{'MB after the load':>20}")
    for name, start in starts.items():
        loaded = f"{after_load_mb[name]:20.0f}" if name in after_load_mb else ""
        used, resident_mb = statistics.median(start.cpu_seconds), statistics.median(start.resident_mb)
        print(f"  {name:<22}{_spread(start.seconds, 2):>22}{used:10.2f}{resident_mb:10.0f}{loaded}")


def print_imports(costs: dict[str, ImportCost]) -> None:
    print()
    for statement, cost in costs.items():
        taken = f"{_spread(cost.seconds, 2)} s, of CPU {statistics.median(cost.cpu_seconds):.2f} s"
        print(f"  python -c {statement!r:<18} {taken}, {statistics.median(cost.resident_mb):.0f} MB")


def print_figures(figures: list[Figure]) -> None:
    if not figures:
        return
    print(f"\n  {'figure':<66}{'measured':>28}{'goal':>12}")
    for figure in figures:
        measured = f"{_spread(figure.values, 2)} {figure.unit}".rstrip()
        goal = f"{'<=' if figure.at_most else '>='} {figure.goal:g}" if figure.goal is not None else ""
        print(f"  {figure.name:<66}{measured:>28}{goal:>12}  {_verdict(figure)}".rstrip())


def _verdict(figure: Figure) -> str:
    return {True: "met", False: "missed", None: ""}[figure.is_met]


def write_json(path: Path, content: Content) -> None:
    path.write_text(json.dumps(content, default=_as_dict, indent=2) + "\n", encoding="utf-8")


def _as_dict(item: Any) -> dict[str, Any]:
    """Dataclasses as JSON; scenarios, figures and the like."""
    extra = {"is_met": item.is_met} if isinstance(item, Figure) else {}
    return {**{field.name: getattr(item, field.name) for field in fields(item)}, **extra}


def _median(rounds: list[Round], name: str) -> float:
    values: list[float] = [getattr(item, name) for item in rounds]
    return statistics.median(values)


def _spread(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()
