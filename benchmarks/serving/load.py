"""Load by wrk: one thread, closed loop, the bodies in turn."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.children import Child
from benchmarks.serving.wires import Request

SCRIPT = Path(__file__).with_name("post.lua")


@dataclass(frozen=True)
class Round:
    """What one server did in one round."""

    requests_a_second: float
    p50_ms: float
    p99_ms: float
    server_cpu_us: float
    """Time on the processor that the server used for a request: hardly moves when neighbours take the core away."""
    server_busy: float
    """Share of the round that the server was on a processor."""
    client_busy: float
    """The same of wrk: near 1 it would limit."""


def find_wrk() -> str:
    """Where wrk is."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("error: wrk makes the load, but is not on the PATH; on Debian: apt-get install -y wrk")
    return found


def write_bodies(requests: list[Request], folder: Path) -> None:
    """Put the bodies where wrk's script finds them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, request in enumerate(requests, start=1):
        (folder / str(number)).write_bytes(request.body)


def run_round(child: Child, requests: list[Request], bodies: Path, connections: int, seconds: float) -> Round:
    """Ask one server for some seconds; a request that is refused or lost ends the benchmark."""
    command = [find_wrk(), "--threads=1", f"--connections={connections}", f"--duration={seconds:g}s", "--timeout=10s"]
    command += ["--latency", f"--script={SCRIPT}", f"http://127.0.0.1:{child.port}{requests[0].path}", "--"]
    command += [str(bodies), str(len(requests))]
    command += [word for header in requests[0].headers.items() for word in header]
    before = child.cpu_seconds()
    output, wrk_seconds = _run(command)
    used = child.cpu_seconds() - before
    figures = json.loads(output.splitlines()[-1])
    if figures["refused"] or figures["lost"] or not figures["requests"]:
        raise SystemExit(f"{child.peer.name} did not answer every request with a 200: {output}")
    return Round(
        requests_a_second=figures["requests"] / figures["seconds"],
        p50_ms=figures["p50_ms"],
        p99_ms=figures["p99_ms"],
        server_cpu_us=used / figures["requests"] * 1e6,
        server_busy=used / figures["seconds"],
        client_busy=wrk_seconds / figures["seconds"],
    )


def _run(command: list[str]) -> tuple[str, float]:
    """What a command prints, and the processor time it used."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"wrk ended with code {process.returncode}: {output}")
    return output, used.ru_utime + used.ru_stime
