"""How many records a second one core of a collector keeps, beside a plain append of the same rows to a Delta table.

    python benchmarks/collector.py --records 20000 --rounds 7 --json collector.json

The collector is the real process, on one core of its own; a sender on the others posts batches as a server's spool
does, each of a request of one row with 30 features. The limit is deltalake alone: the finished rows, in as many
commits, on the same core. Both write to new tables, in turns, round after round. Processor seconds are told beside
those of the clock: on a machine that has other work only they say much.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import psutil

from fairlead.adapters.delta_records import DeltaRecords
from fairlead.records.reading import read_batch
from fairlead.records.record import BATCH_TYPE
from fairlead.records.rows import to_table

GOAL = 5000
CONNECTIONS = 4
FEATURES = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=20_000, help="in a round")
    parser.add_argument("--batch", type=int, default=2000, help="records in a request; a spool's delivery sends 2,000")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--limit", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.limit:
        print(json.dumps(append(options.limit, options.records, options.batch)))
        return
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[1:] or cores)
    collected, appended = [], []
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            collected.append(collect(Path(folder), cores[0], options.records, options.batch, number))
            appended.append(limit(Path(folder), cores[0], options.records, options.batch))
        show(number, collected[-1], appended[-1])
    figures = summary(collected, appended, options.records)
    print(json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def bodies(records: int, batch: int, seed: int) -> list[bytes]:
    """Requests of batches of events, as a server of ours writes them."""
    draw, now = np.random.default_rng(seed), datetime.now(UTC).isoformat()
    matrix = draw.random((records, FEATURES), dtype=np.float32)
    events = [event(seed, number, now, matrix[number]) for number in range(records)]
    return [b"[" + b",".join(events[start : start + batch]) + b"]" for start in range(0, records, batch)]


def event(seed: int, number: int, now: str, features: Any) -> bytes:
    from binascii import b2a_base64

    data = {
        "model": "flight-delay",
        "version": "1",
        "request_id": f"{seed:08x}-{number:08x}",
        "rows": 1,
        "scores": [float(features[0])],
        "decisions": [bool(features[0] > 0.5)],
        "latency_ms": 1.25,
        "status": 200,
        "columns": {"origin": ["JFK"], "dest": ["LAX"], "carrier": ["AA"], "tailnum": ["N338AA"], "distance": [2475]},
        "features": b2a_base64(features.tobytes(), newline=False).decode(),
    }
    head = {
        "specversion": "1.0",
        "type": "io.fairlead.prediction.v1",
        "source": "/models/flight-delay/1",
        "datacontenttype": "application/json",
        "id": f"{seed:020x}-{number}",
        "time": now,
    }
    return orjson.dumps({**head, "data": data})


def collect(folder: Path, core: int, records: int, batch: int, seed: int) -> dict[str, float]:
    """One round of the collector; seconds of the clock and of its core."""
    requests = bodies(records, batch, seed + 1)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = ["-m", "monitoring.collector", "--tables-uri", str(folder / "collected"), "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, *command], stderr=subprocess.PIPE, preexec_fn=lambda: os.sched_setaffinity(0, [core])
    )
    assert process.stderr is not None
    process.stderr.readline()
    with (
        httpx.Client(timeout=120, headers={"content-type": BATCH_TYPE}) as client,
        ThreadPoolExecutor(CONNECTIONS) as pool,
    ):
        url = f"http://127.0.0.1:{port}"
        client.post(url, content=bodies(1, 1, 10_000 + seed)[0]).raise_for_status()  # imports, and makes the table
        before, began = cpu(process.pid), time.perf_counter()
        for answer in pool.map(lambda body: client.post(url, content=body), requests):
            answer.raise_for_status()
        seconds, used = time.perf_counter() - began, cpu(process.pid) - before
    process.terminate()
    process.wait()
    kept = DeltaRecords(str(folder / "collected")).read("flight-delay", date(2000, 1, 1), date(2100, 1, 1))
    if len(kept) != records + 1:
        raise SystemExit(f"{records + 1} records must be kept, but {len(kept)} are")
    return {"seconds": seconds, "cpu_seconds": used}


def cpu(process: int) -> float:
    times = psutil.Process(process).cpu_times()
    return float(times.user + times.system)


def limit(folder: Path, core: int, records: int, batch: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--limit", str(folder / "appended"), "--records", str(records)]
    done = subprocess.run(
        [*command, "--batch", str(batch)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, [core]),
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def append(table: Path, records: int, batch: int) -> dict[str, float]:
    """The same rows by deltalake alone, in a process of its own."""
    from deltalake import DeltaTable, write_deltalake

    rows = [to_table(read_batch(body), datetime.now(UTC)) for body in bodies(records, batch, 1)]
    write_deltalake(str(table), rows[0].slice(0, 1), partition_by=["day"])
    handle = DeltaTable(str(table))
    began, before = time.perf_counter(), time.process_time()
    for part in rows:
        write_deltalake(handle, part, mode="append")
    return {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - before}


def show(number: int, ours: dict[str, float], theirs: dict[str, float]) -> None:
    print(
        f"round {number + 1}: collector {ours['seconds']:.2f} s ({ours['cpu_seconds']:.2f} of its core), "
        f"plain append {theirs['seconds']:.2f} s ({theirs['cpu_seconds']:.2f})",
        flush=True,
    )


def summary(ours: list[dict[str, float]], theirs: list[dict[str, float]], records: int) -> dict[str, Any]:
    return {
        "records_per_second": spread([records / item["seconds"] for item in ours]),
        "records_per_cpu_second": spread([records / item["cpu_seconds"] for item in ours]),
        "plain_append_records_per_second": spread([records / item["seconds"] for item in theirs]),
        "share_of_plain_append": spread(
            [b["cpu_seconds"] / a["cpu_seconds"] for a, b in zip(ours, theirs, strict=True)]
        ),
        "goal_records_per_second": GOAL,
    }


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    middle = statistics.median(values)
    return {"median": round(middle, 3), "least": round(min(values), 3), "most": round(max(values), 3)}


if __name__ == "__main__":
    main()
