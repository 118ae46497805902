"""What a server does under ten and a hundred times its usual load: the latency of its answers, the share it refuses.

wrk keeps 8 connections busy, then 80, then 800, then 8 again; each request is one row of 30 features through 200
trees. A server that bends but does not break answers in bounded time, refuses the rest, and is then as it was before.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.serving.children import Child, running  # noqa: E402  found by the line above
from benchmarks.serving.cores import available_cores, share_cores  # noqa: E402
from benchmarks.serving.load import SCRIPT, find_wrk, write_bodies  # noqa: E402
from benchmarks.serving.peers import OURS  # noqa: E402
from benchmarks.serving.scenarios import ONE_ROW  # noqa: E402
from benchmarks.serving.subject import make_bundle  # noqa: E402

STEPS = ("usual", 8), ("ten times", 80), ("a hundred times", 800), ("usual again", 8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cores = share_cores(available_cores())
    figures = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_bundle(folder / "bundle")
        os.sched_setaffinity(0, cores.client)
        with running((OURS,), folder / "bundle", folder, cores.server) as (child,):
            requests = ONE_ROW.requests(child)
            write_bodies(requests, folder / "bodies")
            print("load             connections   answers/s   refused/s   p50 ms   p99 ms   lost")
            for load, connections in STEPS:
                figure = step(child, folder / "bodies", len(requests), requests[0].path, connections, options.seconds)
                figures[load] = figure
                print(
                    f"{load:<16} {connections:11d} {figure['answered']:11.0f} {figure['refused']:11.0f} "
                    f"{figure['p50_ms']:8.2f} {figure['p99_ms']:8.2f} {figure['lost']:6d}"
                )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


def step(child: Child, bodies: Path, count: int, path: str, connections: int, seconds: float) -> dict[str, float]:
    command = [find_wrk(), "--threads=1", f"--connections={connections}", f"--duration={seconds:g}s", "--latency"]
    command += [f"--script={SCRIPT}", f"http://127.0.0.1:{child.port}{path}", "--", str(bodies), str(count)]
    command += ["Content-Type", "application/json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return {
        "lost": found["lost"],
        "answered": (found["requests"] - found["refused"]) / found["seconds"],
        "refused": found["refused"] / found["seconds"],
        "p50_ms": found["p50_ms"],
        "p99_ms": found["p99_ms"],
    }


if __name__ == "__main__":
    main()
