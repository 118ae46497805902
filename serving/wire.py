"""HTTP/1.1 as uvicorn speaks it with httptools, with a short way for what the lane answers at once.

uvicorn builds a scope, a cycle and a task for each request and awaits it twice: 100 µs of the 200 that a request of
one row takes in an ASGI application. A request that needs nothing but this process's own work is answered where its
last byte is parsed. All others, and all that the lane does not understand, go the usual way, from the same bytes.

A client repeats itself: its next request has the same head to the byte, unless its body has another length. So a head
that httptools has read and the lane has answered is looked up when it comes again, with its body, in one piece: that
saves httptools' calls for the line, each header and the body, 40 µs.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fairlead.errors import SpoolFullError
from serving.exchange import Observer
from serving.front import JSON_LENGTH, MIRRORED, Front, Limits
from serving.lane import INLINE_BYTES, NotForTheLane, Route, answer

HEAD = b"HTTP/1.1 %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n%b\r\n"
SWEEP_SECONDS = 1.0
MOST_HEADS = 512
LONGEST_HEAD = 2048


@dataclass(frozen=True, slots=True)
class Head:
    """What a request says before its body, where the lane can answer it."""

    path: str
    length: int
    """Of the body, in bytes."""
    json_length: str | None
    mirrored: bool


class Heads(dict[bytes, Head]):
    """Heads by their bytes, of all connections; bounded, as every caller may write as many as it likes."""

    def remember(self, head: bytes, meaning: Head) -> None:
        """Keep one."""
        if len(head) <= LONGEST_HEAD:
            if len(self) >= MOST_HEADS:
                self.clear()
            self[head] = meaning


class Turn:
    """Counts the requests of one turn of the event loop: as many have been waiting for each other."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.requests = 0

    def next(self) -> int:
        """How many requests this turn has had before."""
        if not self.requests:
            self._loop.call_soon(self._end)
        self.requests += 1
        return self.requests - 1

    def _end(self) -> None:
        self.requests = 0


class Wire(HttpToolsProtocol):
    """One connection. `serving_with` gives the class its front."""

    front: Front
    limits: Limits
    turn: Turn
    heads: Heads

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._route: Route | None = None
        self._body = b""
        self._piece: bytes | None = None
        """What arrived last, if a request began with it."""
        self.waiting_since: float | None = None
        """When the client began to send what has not arrived in full; None while there is nothing to wait for."""
        self.idle_since: float | None = time.perf_counter()
        self._leaving = False

    def data_received(self, data: bytes) -> None:
        begins = self.waiting_since is None
        if begins and self._repeats(data):
            return
        self._piece = data if begins else None
        super().data_received(data)

    def _repeats(self, data: bytes) -> bool:
        """Answer a request whose head is known, if these bytes are all of it and it is the only one at hand."""
        head, _, body = data.partition(b"\r\n\r\n")
        known = self.heads.get(head)
        if known is None or len(body) != known.length or not self._is_alone():
            return False
        route = self.front.routes.get(known.path)
        if route is None or not route.inline:
            return False
        self._unset_keepalive_if_required()
        return self._answered(route, body, known.json_length, known.mirrored, last=False)

    def _is_alone(self) -> bool:
        """Answers go out in the order of the requests."""
        return (self.cycle is None or self.cycle.response_complete) and not self.pipeline

    def on_message_begin(self) -> None:
        # What uvicorn does here is put off until it is known to be needed.
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self.waiting_since, self.idle_since = time.perf_counter(), None

    def on_headers_complete(self) -> None:
        self._route = self._short_way()
        self._body = b""
        if self._route is None:
            self._usual_way()

    def _short_way(self) -> Route | None:
        if self.parser.get_method() != b"POST" or self.expect_100_continue or self.parser.should_upgrade():
            return None
        if not self._is_alone():
            return None
        if self.front.observer.traces is not None:
            return None  # a span costs more than this way saves
        try:
            route = self.front.routes.get(self.url.decode("ascii"))
        except UnicodeDecodeError:
            return None
        return route if route is not None and route.inline else None

    def _usual_way(self) -> None:
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._route is None:
            return super().on_body(body)
        self._body = self._body + body if self._body else body
        if len(self._body) > INLINE_BYTES:
            self._take_usual_way()
        return None

    def _take_usual_way(self) -> None:
        self._route, body = None, self._body
        self._body = b""
        self._usual_way()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.waiting_since = None
        if self._route is not None and not self._answered_first(self._route):
            self._take_usual_way()
        if self._route is None:
            super().on_message_complete()

    def _answered_first(self, route: Route) -> bool:
        """Answer a request whose head httptools has just read."""
        sent = _headers(self.headers)
        if sent is None:
            return False
        last = self._leaving or not self.parser.should_keep_alive()
        answered = self._answered(route, self._body, *sent, last=last)
        if answered and not last and self._piece is not None:
            head, _, body = self._piece.partition(b"\r\n\r\n")
            if len(body) == len(self._body):  # nothing before or behind it, and not in chunks
                self.heads.remember(head, Head(self.url.decode("ascii"), len(body), *sent))
        return answered

    def _answered(self, route: Route, body: bytes, json_length: str | None, mirrored: bool, *, last: bool) -> bool:
        started = time.perf_counter()
        if self.front.in_flight + self.turn.next() >= self.limits.concurrency:
            return self._refuse(last=last)
        try:
            result = answer(route, body, json_length)
            self.front.observer.answered(route.model, route.protocol, started, mirrored, result)
        except NotForTheLane:
            return False
        except SpoolFullError as error:
            self.front.observer.failed(route.model, route.protocol, 503, started, mirrored, str(error))
            return self._unavailable(str(error), last=last)
        except Exception:
            self.logger.exception("the lane failed")
            return False
        kind, more = b"application/json", b""
        if result.json_length is not None:
            kind, more = b"application/octet-stream", b"%b: %d\r\n" % (JSON_LENGTH, result.json_length)
        self._write(b"200 OK", kind, more, result.body, last=last)
        return True

    def _refuse(self, *, last: bool) -> bool:
        self.front.observer.refused("overload")
        return self._unavailable("the server has too many requests at hand already", last=last)

    def _unavailable(self, reason: str, *, last: bool) -> bool:
        body = orjson.dumps({"error": reason})
        self._write(b"503 Service Unavailable", b"application/json", b"retry-after: 1\r\n", body, last=last)
        return True

    def _write(self, status: bytes, kind: bytes, more: bytes, body: bytes, *, last: bool) -> None:
        if last:
            more += b"connection: close\r\n"
        self.transport.write(HEAD % (status, kind, len(body), more) + body)
        self.idle_since = time.perf_counter()
        if last:
            self.transport.close()

    def shutdown(self) -> None:
        """What uvicorn calls when the server leaves: a request that has begun to arrive is still answered."""
        if self._route is not None and self.waiting_since is not None:
            self._leaving = True
        else:
            super().shutdown()

    def eof_received(self) -> bool:
        """A client that has said all it will say may still listen."""
        waiting = self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body
        if waiting:
            self.cycle.keep_alive = False
        return waiting

    def sweep(self, now: float) -> None:
        """Close the connection if the client is too slow, or has been idle too long."""
        slow = self.waiting_since is not None and now - self.waiting_since > self.limits.request_seconds
        idle = self.idle_since is not None and now - self.idle_since > self.limits.keep_alive_seconds
        if (slow or idle) and not self.transport.is_closing():
            self.transport.close()


def _headers(headers: list[tuple[bytes, bytes]]) -> tuple[str | None, bool] | None:
    """Length of the JSON and whether the request is a copy; None: the usual way decides about what is unusual."""
    json_length, mirrored = None, False
    for name, value in headers:
        if name == b"content-type":
            if value != b"application/json" and value != b"application/octet-stream":
                return None
        elif name == JSON_LENGTH:
            json_length = value.decode("latin-1")
        elif name == MIRRORED:
            mirrored = True
        elif name == b"content-encoding":
            return None
    return json_length, mirrored


def serving_with(front: Front, limits: Limits, loop: asyncio.AbstractEventLoop) -> type[Wire]:
    """The protocol class of one server."""
    return type("BoundWire", (Wire,), {"front": front, "limits": limits, "turn": Turn(loop), "heads": Heads()})


async def sweep(connections: set[Any], observer: Observer) -> None:
    """Look after all connections, and the metrics that nobody else updates, for as long as the server runs."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        observer.tell()
        now = time.perf_counter()
        for connection in list(connections):
            if isinstance(connection, Wire):
                connection.sweep(now)
