"""Fairlead's server, started as its users start it."""

import subprocess
import sys
from functools import cached_property

from benchmarks.serving.peers._base import ROOT, Peer, Place


class Ours(Peer):
    """`python -m serving`, without feature store and gRPC."""

    name = "fairlead"

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        if workers > 1:
            self.name = f"fairlead, {workers} processes"

    def missing(self) -> str | None:
        if self.workers == 1 or self._can_have_workers:
            return None
        return "`python -m serving` has no option --workers"

    def command(self, place: Place) -> list[str]:
        command = [sys.executable, "-m", "serving", "--bundle", str(place.bundle)]
        command += ["--feature-store", "none", "--http-port", str(place.port), "--grpc-port", "0"]
        return command + (["--workers", str(self.workers)] if self.workers > 1 else [])

    @cached_property
    def _can_have_workers(self) -> bool:
        command = [sys.executable, "-m", "serving", "--help"]
        return "--workers" in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
