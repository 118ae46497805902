"""What a record costs on the request's path: one row with 30 features, encoded and kept on disk.

Rounds of each step take turns; printed are the median over the rounds and their spread (10th and 90th percentile), by
the clock and, less shaken by what else the machine does, in CPU time of the thread. Two yardsticks take turns with
them: one bare write of as many bytes, and a line of JSON through the standard library's logging. Delivery is off: it
is what another thread does.
"""

import argparse
import json
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, thread_time

import numpy as np

from fairlead.packaging.bundle import Bundle
from fairlead.packaging.signature import Input, Signature
from fairlead.records.delivery import Delivery
from fairlead.records.record import EventEncoder, Pseudonyms
from fairlead.records.recorder import Recorder
from fairlead.records.spool import Spool
from serving.recording import RequestRecorder

REQUEST = {"carrier": ["UA"], "origin": ["EWR"], "dest": ["LAX"], "distance": [2454.0], "tailnum": ["N39463"]}
FEATURES = 30
CALLS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(steps(Path(folder)), options.rounds)
    print(
        f"{'µs a call, one row, 30 features':<44} {'clock':>7} {'10%':>7} {'90%':>7} {'CPU':>7} {'10%':>7} {'90%':>7}"
    )
    for name, figures in result.items():
        print(f"{name:<44} " + " ".join(f"{figure:7.2f}" for figure in figures))
    print(f"{'goal for encode and keep':<44} {10:7.2f}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2), encoding="utf-8")


def steps(folder: Path) -> dict[str, Callable[[], object]]:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(1, FEATURES)).astype(np.float32)
    probabilities = np.array([[0.7, 0.3]], dtype=np.float32)
    decisions = np.array([False])
    spool = Spool(folder / "spool", max_bytes=1 << 30, when_full="drop_oldest")
    unused = Delivery(spool, "http://127.0.0.1:9", rejected=folder, rejected_bytes=0)
    recorder = Recorder(spool, unused, Pseudonyms("a key for this benchmark"))
    result: dict[str, Callable[[], object]] = {}
    for words, personal in (("", False), (", one column as a pseudonym", True)):
        requests = RequestRecorder(bundle(personal), recorder)
        encoder = EventEncoder(bundle(personal), recorder.pseudonyms)
        result[f"encode{words}"] = lambda encoder=encoder: encoder.answered(  # type: ignore[misc]
            request_id="4f1c", columns=REQUEST, matrix=matrix, scores=probabilities[:, 1], decisions=decisions,
            latency_ms=0.25,
        )  # fmt: skip
        result[f"encode and keep{words}"] = lambda requests=requests: requests.answered(  # type: ignore[misc]
            REQUEST, matrix, probabilities, decisions, "4f1c", perf_counter()
        )
    event = EventEncoder(bundle(False), None).failed(request_id="4f1c", status=400, reason="x" * 400, latency_ms=1)
    result["keep alone"] = lambda: recorder.record(event)
    bare = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT)
    result["yardstick: a bare write of the same bytes"] = lambda: os.write(bare, event)
    log = logging.Logger("yardstick")
    log.addHandler(logging.FileHandler(folder / "log"))
    result["yardstick: logging.info(json.dumps(...))"] = lambda: log.info(
        json.dumps({"request": REQUEST, "features": matrix.tolist(), "scores": probabilities.tolist()})
    )
    return result


def measure(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Median, 10th and 90th percentile by the clock, then the same in CPU time."""
    clock: dict[str, list[float]] = {name: [] for name in calls}
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            started, used = perf_counter(), thread_time()
            for _ in range(CALLS):
                call()
            cpu[name].append((thread_time() - used) / CALLS * 1e6)
            clock[name].append((perf_counter() - started) / CALLS * 1e6)
    return {
        name: [*np.percentile(clock[name], [50, 10, 90]), *np.percentile(cpu[name], [50, 10, 90])] for name in calls
    }


def bundle(personal: bool) -> Bundle:
    known = [Input(name=name, source="request", kind="number") for name in REQUEST if name != "tailnum"]
    looked_up = [Input(name=f"view__f{n}", source="feature", kind="number") for n in range(FEATURES - len(known))]
    signature = Signature(
        inputs=known + looked_up, entities=["tailnum"], personal={"tailnum": "pseudonymise"} if personal else {}
    )
    return Bundle(
        model="flight-delay", description="Late?", version="3", task="binary", candidate="lightgbm",
        signature=signature, threshold=0.5, feature_service="flight_v1", dataset="flights",
        as_of="2013-10-01T00:00:00Z", tables={}, code_version="src-0", lock="lock-0", spec_digest="0", opset=17,
        files={},
    )  # fmt: skip


if __name__ == "__main__":
    main()
