"""Several processes behind one port: started, watched, told of each other's changes, and ended together.

Each worker has a socket of its own on the port (SO_REUSEPORT), over which the kernel spreads connections; with one
shared socket whoever wakes first takes all that wait. Each has its own session, so that nothing is locked between
them; their counts meet in PROMETHEUS_MULTIPROC_DIR.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.multiprocess import mark_process_dead

from fairlead.lineage.steps import RUNNER_PID
from serving.names import model_and_version

CONTROL = "FAIRLEAD_WORKER_CONTROL"
"""File descriptor of a worker's socket to its supervisor; unset in a server without workers."""
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus-client's own name: set when a worker starts, whose counts are then kept there beside the others'."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 5.0
"""Between the end of a worker and its next start; doubled while it does not become ready."""
GRACE_SECONDS = 40
"""How long workers may take to leave: more than they give their requests."""


@dataclass(eq=False)
class Worker:
    """A process that answers."""

    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    line: str = ""
    done: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    """What it answered to changes, in their order."""

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send one message; a worker that has ended reads no more."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(json.dumps(message).encode() + b"\n")


class Supervisor:
    """Keeps a number of workers running."""

    def __init__(self, command: Sequence[str], count: int) -> None:
        """Start nothing yet.

        Args:
            command: what each worker runs.
            count: how many.
        """
        self._command = command
        self._count = count
        self._workers: set[Worker] = set()
        self._changes: list[dict[str, str]] = []
        """Loads and unloads that a new worker repeats, in their order."""
        self._changing = asyncio.Lock()
        self._leaving = asyncio.Event()
        self._environment: dict[str, str] = {}

    async def run(self) -> int:
        """Serve until a signal comes. 0: was told to leave; else the code of a worker that could not start."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._leave)
        with tempfile.TemporaryDirectory(prefix="fairlead-metrics-") as folder:
            self._environment = {**os.environ, RUNNER_PID: str(os.getpid()), METRICS_FOLDER: folder}
            keepers = [asyncio.create_task(self._keep()) for _ in range(self._count)]
            announcer = asyncio.create_task(self._announce())
            codes = await asyncio.gather(*keepers)
            announcer.cancel()
        return next((code for code in codes if code), 0)

    def _leave(self) -> None:
        self._leaving.set()
        for worker in self._workers:
            with contextlib.suppress(ProcessLookupError):
                worker.process.terminate()

    async def _announce(self) -> None:
        while len(self._workers) < self._count or not all(worker.ready.is_set() for worker in self._workers):
            await asyncio.sleep(0.02)
        sys.stderr.write(next(iter(self._workers)).line + "\n")
        sys.stderr.flush()

    async def _keep(self) -> int:
        """Run one worker, and another in its place whenever it ends; returns the code of one that never was ready."""
        pause, was_ready = FIRST_PAUSE_SECONDS, False
        while not self._leaving.is_set():
            worker = await self._start()
            code = await self._attend(worker)
            if self._leaving.is_set():
                return 0
            if not worker.ready.is_set() and not was_ready:
                self._leave()
                return code or 1
            pause = FIRST_PAUSE_SECONDS if worker.ready.is_set() else min(2 * pause, LONGEST_PAUSE_SECONDS)
            was_ready = True
            sys.stderr.write(f"worker {worker.process.pid} ended with code {code}; starting another\n")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), pause)
        return 0

    async def _start(self) -> Worker:
        ours, theirs = socket.socketpair()
        environment = {**self._environment, CONTROL: str(theirs.fileno())}
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.DEVNULL, env=environment, pass_fds=[theirs.fileno()]
        )
        theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        worker = Worker(process, reader, writer)
        self._workers.add(worker)
        worker.tell({"changes": self._changes})
        return worker

    async def _attend(self, worker: Worker) -> int:
        while line := await _line(worker.reader):
            message = json.loads(line)
            if "ready" in message:
                worker.line = message["ready"]
                worker.ready.set()
            elif "done" in message:
                worker.done.put_nowait(message["done"])
            else:
                asyncio.create_task(self._change(worker, message["ask"]))  # noqa: RUF006  it ends by itself
        worker.done.put_nowait({})
        self._workers.discard(worker)
        worker.writer.close()
        code = await self._end(worker)
        mark_process_dead(worker.process.pid, self._environment[METRICS_FOLDER])  # type: ignore[no-untyped-call]
        return code

    async def _end(self, worker: Worker) -> int:
        try:
            return await asyncio.wait_for(worker.process.wait(), GRACE_SECONDS)
        except TimeoutError:
            worker.process.kill()
            return await worker.process.wait()

    async def _change(self, asking: Worker, change: dict[str, str]) -> None:
        """Have all workers make a change, then tell the one that asked."""
        async with self._changing:
            workers = [worker for worker in self._workers if worker.ready.is_set()]
            for worker in workers:
                worker.tell({"do": change})
            answers = [await worker.done.get() for worker in workers]
            refusal = next((answer for answer in answers if answer.get("kind")), {})
            if not refusal:
                self._changes = remember(self._changes, change)
        asking.tell({"answer": refusal})


def remember(changes: Sequence[dict[str, str]], change: dict[str, str]) -> list[dict[str, str]]:
    """Add a change, without those that it makes void: of the same version, or, of a whole model, all of that model."""
    model, version = model_and_version(change["name"])

    def void(earlier: dict[str, str]) -> bool:
        its_model, its_version = model_and_version(earlier["name"])
        return its_model == model and version in ("", its_version)

    return [*(earlier for earlier in changes if not void(earlier)), change]


async def _line(reader: asyncio.StreamReader) -> bytes:
    """The next line; none where the other end is gone, however it went."""
    try:
        return await reader.readline()
    except ConnectionResetError:
        return b""
