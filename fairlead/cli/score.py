"""Scoring a batch."""

import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from fairlead.cli.progress import ConsoleProgress
from fairlead.home import lock_home
from fairlead.report.summary import Step
from fairlead.settings import find_repo, of_command

if TYPE_CHECKING:
    from fairlead.scoring.request import Request
    from fairlead.scoring.score import Predictions


def score_rows(name: str, request: "Request", home: Path, console: Console, json_output: bool) -> None:
    """Plan and score; progress goes to the console, the summary to standard output."""
    with lock_home(home):
        began = time.monotonic()
        progress = ConsoleProgress(console)
        with progress.running():
            progress.begin("score", "Score rows")
            import fairlead.scoring.request  # noqa: F401  # before the filter, for Feast sets filters of its own

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of libraries about each other; a user can mend none of them
                result, rate = _score(name, request, home, progress)
            seconds = time.monotonic() - began
            detail = f"{result.rows:,} rows, {result.yes:,} of them yes, {rate:,.0f} rows/s"
            progress.end(Step(name="score", title="Score rows", seconds=seconds, cached=result.reused, detail=detail))
    if json_output:
        sys.stdout.write(result.model_dump_json(indent=2) + "\n")
    else:
        for line in _lines(result):
            console.print(line, highlight=False)


def _score(name: str, request: "Request", home: Path, progress: ConsoleProgress) -> "tuple[Predictions, float]":
    from fairlead.adapters.mlflow import MlflowRegistry
    from fairlead.cli.show import find_version
    from fairlead.scoring.request import plan_batch, run_plan

    settings = of_command(home, find_repo())
    registry = MlflowRegistry(settings)
    version = find_version(registry, name)
    plan = plan_batch(request, version, registry.record(version).plan, settings)
    last = 0.0

    def tell(done: int, total: int, rate: float) -> None:
        nonlocal last
        last = rate
        progress.update(f"{done:,} of {total:,} rows, {rate:,.0f} rows/s")

    return run_plan(plan, settings, tell), last


def _lines(result: "Predictions") -> list[str]:
    """What a person wants to know at the end."""
    if result.output_version is None:
        return [f"{result.source} has no rows to score: nothing was written"]
    table = f"[bold]{result.output}[/] version {result.output_version}"
    lines = [f"{result.rows:,} predictions of {result.model}@{result.version} in {table}"]
    if result.reused:
        lines[0] = f"already there, scored at {result.scored_at}: " + lines[0]
    if result.continued_from:
        lines.append(f"{result.continued_from:,} of them by an earlier call that was interrupted")
    return lines + [f"features  {name} version {number}" for name, number in result.features.items()]
