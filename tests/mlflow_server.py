"""MLflow over HTTP: its own server, on this machine."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.local.test_serving import free_port

HOST = "127.0.0.1"
START_SECONDS = 300
"""More than it takes on a busy machine."""


@contextmanager
def child(command: list[str], log: Path, environ: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that ends with the block."""
    with log.open("wb") as output, subprocess.Popen(command, env=environ, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.terminate()


@contextmanager
def mlflow_server(folder: Path, artifacts: str) -> Iterator[str]:
    """A server that is starting, and keeps its database in a new folder; `wait` for it."""
    folder.mkdir()
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--no-serve-artifacts"]
    command += ["--default-artifact-root", artifacts]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with child(command, folder / "log", {**os.environ, **quiet}):
        yield f"http://{HOST}:{port}"


def wait(url: str) -> None:
    """Return once a server answers."""
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health"):
                return
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < end, "it took too long"
            time.sleep(0.1)
