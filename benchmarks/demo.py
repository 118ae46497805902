"""How long `fairlead demo` takes, and how much memory, from nothing and then again.

The memory is the largest sum of the resident sets of the command and all its children, sampled every 0.2 s (shared
pages count in each process, so it is an upper bound).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

GOAL_SECONDS = 300
GOAL_GIB = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        results = {name: measure(Path(home)) for name in ("from nothing", "again")}
    print(f"{psutil.cpu_count()} cores, load before the start {psutil.getloadavg()[0]:.1f}")
    for name, (seconds, gib) in results.items():
        print(f"{name:<13} {seconds:6.1f} s  {gib:5.2f} GiB")
    print(f"goal          {GOAL_SECONDS:6.1f} s  {GOAL_GIB:5.2f} GiB")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


def measure(home: Path) -> tuple[float, float]:
    started, peak = time.monotonic(), 0
    command = [str(Path(sys.executable).with_name("fairlead")), "demo", "--home", str(home)]
    process = psutil.Popen(command, stdout=subprocess.PIPE, text=True)
    while process.poll() is None:
        peak = max(peak, resident(process))
        time.sleep(0.2)
    output = process.stdout.read()
    if process.returncode != 0:
        raise SystemExit(f"the demo failed with code {process.returncode}:\n{output}")
    return time.monotonic() - started, peak / 2**30


def resident(process: psutil.Popen) -> int:
    total = 0
    for item in (process, *children(process)):
        try:
            total += item.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def children(process: psutil.Popen) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


if __name__ == "__main__":
    main()
