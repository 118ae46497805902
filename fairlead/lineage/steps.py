"""What every step of a pipeline does first."""

import logging
import os
import sys
import threading
import time

from fairlead.settings import Settings, from_environment

PROGRESS_MARK = "» "
"""Begins a line that tells people how far a step is; whatever else libraries print goes to the log only."""

RUNNER_PID = "FAIRLEAD_RUNNER_PID"
"""Set by a local runner: a step or a server must not outlive it. On a cluster Kubernetes sees to that."""


def begin_step() -> Settings:
    """Read the environment, send progress to standard output, and end with the runner.

    Raises:
        HomeError: the environment is incomplete.
    """
    # Before anything loads OpenMP: threads that spin while they wait made boosting 7 to 16 times slower on two busy
    # cores, and on idle ones sleeping costs nothing that shows.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    progress = logging.StreamHandler(sys.stdout)
    progress.setFormatter(logging.Formatter(f"{PROGRESS_MARK}%(message)s"))
    own = logging.getLogger("fairlead")
    own.setLevel(logging.INFO)
    own.addHandler(progress)
    own.propagate = False
    end_with_runner()
    return from_environment()


def end_with_runner() -> None:
    """End this process when the one that RUNNER_PID names is gone, however it went."""
    runner = os.environ.get(RUNNER_PID)
    if runner:
        threading.Thread(target=_end_with, args=(int(runner),), daemon=True).start()


def whole_numbers(versions: dict[str, float]) -> dict[str, int]:
    """Table versions as they were: a number inside a KFP parameter of type dict arrives as a float."""
    return {table: int(version) for table, version in versions.items()}


def _end_with(pid: int) -> None:
    """A killed runner leaves its steps behind, and a second run would write beside them."""
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            os._exit(70)
        time.sleep(0.5)
