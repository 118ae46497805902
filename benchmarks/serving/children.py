"""Servers as child processes: started on one core, waited for, weighed, asked, stopped by their process ids."""

import http.client
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.serving.cores import pinned
from benchmarks.serving.peers import Peer, Place
from benchmarks.serving.peers._base import ROOT
from benchmarks.serving.wires import JSON_LENGTH, Request

READY_WITHIN_SECONDS = 180
"""MLflow takes a minute where other processes want the core, too."""
POLL_SECONDS = 0.01
STOP_WITHIN_SECONDS = 20
LAST_CHARACTERS = 2000


@dataclass
class Child:
    """A peer that runs."""

    peer: Peer
    port: int
    process: psutil.Popen
    started_in_seconds: float

    def resident_mb(self) -> float:
        """The resident set of its largest process: a worker."""
        largest: int = max(process.memory_info().rss for process in self._processes())
        return largest / 1e6

    def cpu_seconds(self) -> float:
        """What its processes have used so far."""
        used = [process.cpu_times() for process in self._processes()]
        return float(sum(item.user + item.system for item in used))

    def ask(self, request: Request) -> tuple[bytes, str | None]:
        """The body of the answer, and where its JSON ends if the server says so."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", request.path, request.body, request.headers)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise SystemExit(f"{self.peer.name} answered {response.status}: {body[:300].decode(errors='replace')}")
        return body, response.headers.get(JSON_LENGTH)

    def _processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


@contextmanager
def running(peers: tuple[Peer, ...], bundle: Path, folder: Path, cores: tuple[int, ...]) -> Iterator[list[Child]]:
    """All peers at once, for as long as the block runs: one that is not asked waits and uses nothing."""
    with ExitStack() as stack:
        yield [stack.enter_context(_running(peer, bundle, folder, cores)) for peer in peers]


def cold_start(peer: Peer, bundle: Path, folder: Path, cores: tuple[int, ...]) -> tuple[float, float, float]:
    """Seconds from the start of the process to the first 200, those of CPU among them, and the resident MB then."""
    with _running(peer, bundle, folder, cores) as child:
        return child.started_in_seconds, child.cpu_seconds(), child.resident_mb()


@contextmanager
def _running(peer: Peer, bundle: Path, folder: Path, cores: tuple[int, ...]) -> Iterator[Child]:
    place = Place(bundle, folder / peer.name.replace(" ", "-"), _free_port())
    place.folder.mkdir(exist_ok=True)
    peer.prepare(place)
    log = place.folder / "log.txt"
    environ = {**os.environ, **peer.environ(place)}
    with log.open("wb") as output:
        began = time.perf_counter()
        process = psutil.Popen(
            pinned(peer.command(place), cores),
            cwd=ROOT,
            env=environ,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
    try:
        _wait_ready(peer, place.port, process, log)
        yield Child(peer, place.port, process, time.perf_counter() - began)
    finally:
        _stop(process)


def _wait_ready(peer: Peer, port: int, process: psutil.Popen, log: Path) -> None:
    end = time.monotonic() + READY_WITHIN_SECONDS
    while not _is_ready(port, peer.ready_path):
        if process.poll() is not None or time.monotonic() > end:
            said = log.read_text(encoding="utf-8", errors="replace")[-LAST_CHARACTERS:]
            raise SystemExit(f"{peer.name} does not become ready (code {process.returncode}):\n{said}")
        time.sleep(POLL_SECONDS)


def _is_ready(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stop(process: psutil.Popen) -> None:
    family = [process, *process.children(recursive=True)] if process.is_running() else []
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_WITHIN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
    _, left = psutil.wait_procs(family, timeout=1)
    for item in left:
        item.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
