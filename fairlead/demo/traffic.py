"""Callers: requests at a steady rate from a thread of their own, whatever becomes of them."""

import asyncio
import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout

TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Answers:
    """How many there were."""

    requests: int
    failed: int
    """A status of 500 or above, or none at all."""


class Traffic:
    """Sends requests in turn, and counts the answers. A slow answer delays no other request."""

    def __init__(self, url: str, model: str, samples: Sequence[Mapping[str, Any]], rate: float) -> None:
        """Nothing is sent yet.

        Args:
            url: of the gateway.
            model: that is asked.
            samples: requests as rows, with `asked_at`.
            rate: requests a second.
        """
        self._url = f"{url}/v2/models/{model}/infer"
        self._bodies = [_body(sample) for sample in samples]
        self._pause = 1 / rate
        self._answered = self._failed = 0
        self._stop = threading.Event()

    @classmethod
    @contextmanager
    def run(cls, url: str, model: str, samples: Sequence[Mapping[str, Any]], rate: float) -> Iterator["Traffic"]:
        """Send for as long as the block runs."""
        found = cls(url, model, samples, rate)
        thread = threading.Thread(target=lambda: asyncio.run(found._send()), daemon=True)
        thread.start()
        try:
            yield found
        finally:
            found._stop.set()
            thread.join(TIMEOUT_SECONDS)

    def counts(self) -> Answers:
        """Since the beginning."""
        return Answers(self._answered, self._failed)

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        async with ClientSession(timeout=ClientTimeout(total=TIMEOUT_SECONDS)) as session:
            waiting: set[asyncio.Task[None]] = set()
            begin = loop.time()
            for number, body in enumerate(itertools.cycle(self._bodies)):
                if self._stop.is_set():
                    break
                task = asyncio.create_task(self._ask(session, body))
                waiting.add(task)
                task.add_done_callback(waiting.discard)
                await asyncio.sleep(max(0.0, begin + number * self._pause - loop.time()))
            await asyncio.gather(*waiting)

    async def _ask(self, session: ClientSession, body: Mapping[str, Any]) -> None:
        try:
            async with session.post(self._url, json=body) as answer:
                await answer.read()
                failed = answer.status >= 500
        except (ClientError, TimeoutError):
            failed = True
        self._answered += 1
        self._failed += failed


def _body(sample: Mapping[str, Any]) -> dict[str, Any]:
    """A row as the v2 protocol has it; a value that is not known is null."""
    columns = {name: value for name, value in sample.items() if name != "asked_at"}
    inputs = [
        {"name": name, "shape": [1], "datatype": _type(value), "data": [value]} for name, value in columns.items()
    ]
    return {"inputs": inputs, "parameters": {"asked_at": sample["asked_at"]}}


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "BOOL"
    if isinstance(value, int):
        return "INT64"
    return "FP64" if isinstance(value, float) else "BYTES"
