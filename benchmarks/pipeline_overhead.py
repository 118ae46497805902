"""What a task of a local pipeline costs beyond its own work.

Ten tasks that do nothing, run by KFP's local runner as `fairlead run` runs them, then once more from the cache; beside
the same as KFP does it alone, and the floor that any runner of processes has: ten starts of the interpreter. Rounds
alternate; prints median and spread.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from kfp import compiler, dsl

from fairlead.adapters.kfp import LocalPipelines
from fairlead.adapters.prefork import preforked
from fairlead.settings import laptop

TASKS = 10
GOAL_SECONDS = 0.2


@dsl.component(base_image="fairlead/pipeline", install_kfp_package=False)
def pass_on(number: int, salt: str) -> int:
    """Return the next number."""
    return number + 1


@dsl.pipeline(name="ten-tasks")
def ten_tasks(salt: str) -> int:
    """A chain."""
    task = pass_on(number=0, salt=salt)
    for _ in range(TASKS - 1):
        task = pass_on(number=task.output, salt=salt)
    return task.output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {"tasks": [], "cached": [], "kfp alone": [], "interpreter": []}
    with tempfile.TemporaryDirectory() as folder, preforked() as python:
        package, root = Path(folder, "ten_tasks.yaml"), Path(folder)
        compiler.Compiler().compile(ten_tasks, str(package))
        settings = laptop(root, Path.cwd())
        runner, alone = LocalPipelines(settings, root, python), LocalPipelines(settings, root)
        runner.run(package, {"salt": ""}, lambda event: None)  # libraries are imported while a run's first steps run
        for number in range(options.rounds):
            for name, runs, salt in (("tasks", runner, ""), ("cached", runner, ""), ("kfp alone", alone, " alone")):
                started = time.perf_counter()
                # The last task's output, through a chain of ten processes.
                assert runs.run(package, {"salt": f"{number}{salt}"}, lambda event: None) == TASKS
                seconds[name].append((time.perf_counter() - started) / TASKS)
            started = time.perf_counter()
            for _ in range(TASKS):
                subprocess.run([sys.executable, "-c", "pass"], check=True)
            seconds["interpreter"].append((time.perf_counter() - started) / TASKS)
    report(seconds, options.json)


def report(seconds: dict[str, list[float]], path: Path | None) -> None:
    print(f"Python {platform.python_version()}, kfp {version('kfp')}, {len(seconds['tasks'])} rounds of {TASKS} tasks")
    for name, values in seconds.items():
        low, high = min(values), max(values)
        print(f"{name:<12} {statistics.median(values) * 1000:7.1f} ms a task  [{low * 1000:.1f}, {high * 1000:.1f}]")
    overhead = statistics.median(seconds["tasks"])
    print(f"overhead     {overhead:.3f} s a task over a plain call; goal {GOAL_SECONDS} s")
    print(f"             {overhead / statistics.median(seconds['interpreter']):.1f} × the start of an interpreter")
    if path:
        path.write_text(json.dumps({"seconds_a_task": seconds, "goal": GOAL_SECONDS}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
