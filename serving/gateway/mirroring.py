"""Copies of requests for a second backend. Nothing here can delay or fail the request that is copied."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

from aiohttp import ClientError, ClientSession, StreamReader
from multidict import CIMultiDict
from yarl import URL

from serving.gateway.counters import Counters
from serving.gateway.headers import MIRRORED
from serving.gateway.routing import Mirror
from serving.gateway.upstream import status_of

MOST_AT_ONCE = 256
"""Copies on their way; a backend that hangs must not fill the memory."""


class Mirrors:
    """Sends copies and forgets their answers."""

    def __init__(self, session: ClientSession, counters: Counters, timeout_seconds: float, limit_bytes: int) -> None:
        """Own the copies.

        Args:
            session: not the one of the requests themselves.
            counters: where copies are counted.
            timeout_seconds: for a whole copy.
            limit_bytes: a larger body is not copied.
        """
        self._session = session
        self._counters = counters
        self._timeout = timeout_seconds
        self.limit_bytes = limit_bytes
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, mirror: Mirror, method: str, target: str, headers: CIMultiDict[str], body: bytes | None) -> None:
        """Start one copy and return at once."""
        if len(self._tasks) >= MOST_AT_ONCE:
            self.count(mirror, "dropped")
            return
        task = asyncio.create_task(self._copy(mirror, method, target, headers, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def count(self, mirror: Mirror, status: str) -> None:
        """Count a copy by what became of it."""
        self._counters.mirrored.labels(mirror.label, status).inc()

    async def close(self) -> None:
        """Break off what is on its way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _copy(
        self, mirror: Mirror, method: str, target: str, headers: CIMultiDict[str], body: bytes | None
    ) -> None:
        marked = headers.copy()
        marked[MIRRORED] = "1"
        url = URL(mirror.url + target, encoded=True)
        began = time.perf_counter()
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._session.request(method, url, headers=marked, data=body, allow_redirects=False) as answer,
            ):
                async for _ in answer.content.iter_any():
                    pass
            self.count(mirror, str(answer.status))
        except (ClientError, TimeoutError) as error:
            self.count(mirror, str(status_of(error)))
        self._counters.mirrored_seconds.labels(mirror.label).observe(time.perf_counter() - began)


class CopiedRequest:
    """A request's head for its copies, and what has passed of its body.

    The primary is sent as the caller sends; the copies go when the body is complete.
    """

    def __init__(
        self, mirrors: Mirrors, to: Sequence[Mirror], method: str, target: str, headers: CIMultiDict[str]
    ) -> None:
        self._mirrors = mirrors
        self._to = to
        self._head = (method, target, headers)
        self._chunks: list[bytes] = []
        self._size = 0
        self._done = False

    def send(self, body: bytes | None) -> None:
        """All copies, with a whole body or none."""
        self._done = True
        for mirror in self._to:
            self._mirrors.send(mirror, *self._head, body)

    def abandon(self) -> None:
        """The request is over: a body that did not pass completely is not copied."""
        if not self._done:
            self._count("incomplete")

    async def follow(self, content: StreamReader) -> AsyncIterator[bytes]:
        """The body as it comes; the copies begin with its end."""
        async for chunk in content.iter_any():
            self._keep(chunk)
            yield chunk
        if not self._done:
            self.send(b"".join(self._chunks))

    def _keep(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size <= self._mirrors.limit_bytes:
            self._chunks.append(chunk)
        elif not self._done:
            self._chunks.clear()
            self._count("too_large")

    def _count(self, status: str) -> None:
        self._done = True
        for mirror in self._to:
            self._mirrors.count(mirror, status)
