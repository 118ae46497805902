"""What every request over HTTP meets first: limits, versions in paths, the lane, and then the SDK's application."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import orjson

from fairlead.errors import SpoolFullError
from serving.exchange import Exchange, Observer, current
from serving.lane import INLINE_BYTES, Answer, NotForTheLane, Route, answer
from serving.tracing import TRACEPARENT
from serving.unavailable import FeaturesUnavailable

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

VERSIONED = re.compile(r"/v2/models/(?P<model>[^/]+)/versions/(?P<version>[^/]+)(?P<rest>/infer|/ready|)")
INFERENCE = re.compile(r"/v2/models/[^/]+/infer|/v1/models/[^/]+:predict")
JSON_LENGTH = b"inference-header-content-length"
MIRRORED = b"x-fairlead-mirrored"
"""Set by a gateway on copies of requests, whose answers nobody reads."""

MEDIA_TYPES = re.compile(
    rb"(application/([a-z0-9.-]+\+)?json|application/octet-stream|application/x-www-form-urlencoded|)\s*(;.*)?", re.I
)
"""JSON and bytes. The form is what curl says of `-d` unless it is told otherwise."""

RETRY_AFTER = (b"retry-after", b"1")
DISCARDED = 8
"""How many times the largest body a refused client may still send."""


@dataclass(frozen=True)
class Limits:
    """How much a server takes on."""

    body_bytes: int = 16 * 2**20
    concurrency: int = 256
    """Requests that may wait for their answer in one worker; more are refused at once."""
    request_seconds: float = 20.0
    """How long a client may take to send a request."""
    keep_alive_seconds: float = 65.0
    """How long a connection may be idle; longer than the 60 s of usual load balancers, which should be first."""


class Refused(Exception):  # noqa: N818  the client's mistake, or the server's limit
    """A request that no model sees."""

    def __init__(self, status: int, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.kind = kind


@dataclass
class Sent:
    """A request's headers, as far as anybody here asks."""

    json_length: str | None = None
    mirrored: bool = False
    media_type: bytes = b""
    encoding: bytes = b""
    length: int = 0
    traceparent: str | None = None

    @classmethod
    def read(cls, headers: list[tuple[bytes, bytes]]) -> "Sent":
        """Names are lower-case."""
        found = dict(headers)
        length = found.get(b"content-length", b"0")
        return cls(
            found[JSON_LENGTH].decode("latin-1") if JSON_LENGTH in found else None,
            MIRRORED in found,
            found.get(b"content-type", b""),
            found.get(b"content-encoding", b""),
            int(length) if length.isdigit() else 0,
            found[TRACEPARENT].decode("latin-1") if TRACEPARENT in found else None,
        )

    def check(self, limits: Limits) -> None:
        """Refuse what is too large, and what is not written as v1 and v2 are."""
        if self.length > limits.body_bytes:
            raise too_large(limits)
        if not MEDIA_TYPES.fullmatch(self.media_type):
            expected = "application/json or application/octet-stream"
            raise Refused(415, "media_type", f"the body must be {expected}, but is {self.media_type.decode('latin-1')}")
        if self.encoding not in (b"", b"identity"):
            found = self.encoding.decode("latin-1")
            raise Refused(415, "media_type", f"the body must not be compressed, but its content-encoding is {found}")


def too_large(limits: Limits) -> Refused:
    """The refusal of a body beyond the limit."""
    return Refused(413, "too_large", f"the body must have at most {limits.body_bytes} bytes")


class Front:
    """An ASGI application around the SDK's."""

    def __init__(self, app: Application, observer: Observer, limits: Limits) -> None:
        self.behind = app
        self.observer = observer
        self._limits = limits
        self.routes: dict[str, Route] = {}
        """Path → who answers it in the lane; replaced as a whole when models come and go."""
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return await self.behind(scope, receive, send)
        route = self.routes.get(scope["path"])
        name_version(scope)
        if scope["method"] != "POST" or not INFERENCE.fullmatch(scope["path"]):
            return await self.behind(scope, receive, send)
        started = time.perf_counter()
        try:
            sent = Sent.read(scope["headers"])
            sent.check(self._limits)
            if self.in_flight >= self._limits.concurrency:
                raise Refused(503, "overload", f"the server has {self.in_flight} requests at hand already")
        except Refused as refused:
            self.observer.refused(refused.kind)
            if (b"expect", b"100-continue") not in scope["headers"]:
                await discard(receive, self._limits)
            return await respond_error(send, refused.status, str(refused), close=True)
        self.in_flight += 1
        self.observer.in_flight.inc()
        try:
            await self._infer(scope, receive, send, route, sent, started)
        finally:
            self.in_flight -= 1
            self.observer.in_flight.dec()
        return None

    async def _infer(
        self, scope: Scope, receive: Receive, send: Send, route: Route | None, sent: Sent, started: float
    ) -> None:
        try:
            body = await read_body(receive, self._limits)
        except Refused as refused:
            self.observer.refused(refused.kind)
            await discard(receive, self._limits)
            return await respond_error(send, refused.status, str(refused), close=True)
        if body is None:
            return None  # the client has gone
        if route is None or not await self._in_lane(route, body, send, sent, started):
            exchange = Exchange(sent.mirrored, started, route and route.model, traceparent=sent.traceparent)
            await self._ask_sdk(scope, body, send, exchange)
        return None

    async def _in_lane(self, route: Route, body: bytes, send: Send, sent: Sent, started: float) -> bool:
        """Answer without the SDK; False: it is not for the lane."""
        try:
            result = await self._answer(route, body, sent.json_length)
            self.observer.answered(route.model, route.protocol, started, sent.mirrored, result, sent.traceparent)
        except NotForTheLane:
            return False
        except (FeaturesUnavailable, SpoolFullError) as error:
            self.observer.failed(route.model, route.protocol, 503, started, sent.mirrored, str(error))
            await respond_error(send, 503, str(error))
        except Exception as error:
            # The server's own 500 follows, which nobody else would count: a rollout must see it.
            self.observer.failed(route.model, route.protocol, 500, started, sent.mirrored, type(error).__name__)
            raise
        else:
            await respond(send, 200, *content(result))
        return True

    async def _answer(self, route: Route, body: bytes, json_length: str | None) -> Answer:
        if route.inline and len(body) <= INLINE_BYTES:
            return answer(route, body, json_length)
        return await asyncio.to_thread(answer, route, body, json_length)

    async def _ask_sdk(self, scope: Scope, body: bytes, send: Send, exchange: Exchange) -> None:
        async def replay() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        protocol = "v2" if scope["path"].startswith("/v2") else "v1"
        watch = _Watch(send, lambda status, reason: self.observer.asked_sdk(exchange, protocol, status, reason))
        token = current.set(exchange)
        try:
            await self.behind(scope, replay, watch)
        finally:
            current.reset(token)
            watch.end()


class _Watch:
    """Passes on what the SDK answers; a refusal once it has been counted and recorded, as a good answer was before."""

    def __init__(self, send: Send, tell: Callable[[int, str], None]) -> None:
        self._send = send
        self._tell: Callable[[int, str], None] | None = tell
        self._status = 500
        self._start: Message = {}
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start, self._status = message, message["status"]
            if self._status == 503:
                message["headers"] = [*message.get("headers", []), RETRY_AFTER]
        if self._status == 200:
            return await self._send(message)
        self._body += message.get("body", b"")
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.end()
            await self._send(self._start)
            await self._send({"type": "http.response.body", "body": self._body})
        return None

    def end(self) -> None:
        """Tell of the answer, once."""
        if self._tell is not None:
            tell, self._tell = self._tell, None
            tell(self._status, _reason(self._body))


def _reason(body: bytes) -> str:
    """Why a request was refused, as its answer says."""
    try:
        return str(orjson.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")


def name_version(scope: Scope) -> None:
    """Turn `/v2/models/m/versions/3…` into `/v2/models/m@3…`: the SDK answers the former with 501."""
    if "/versions/" in scope["path"] and (match := VERSIONED.fullmatch(scope["path"])):
        scope["path"] = f"/v2/models/{match['model']}@{match['version']}{match['rest']}"
        scope["raw_path"] = scope["path"].encode()


async def read_body(receive: Receive, limits: Limits) -> bytes | None:
    """All of a body; None if the client went away before its end.

    Raises:
        Refused: it is larger than allowed.
    """
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limits.body_bytes:
            raise too_large(limits)
        if not message.get("more_body", False):
            return b"".join(parts)


async def discard(receive: Receive, limits: Limits) -> None:
    """Read on, and keep nothing, so that whoever is still sending can read the refusal.

    A proxy that is cut off while it sends makes a 503 of its own in place of a 413. It ends with the body, or after
    some times of what is allowed: then the connection is cut.
    """
    size, more = 0, True
    while more and size <= DISCARDED * limits.body_bytes:
        message = await receive()
        size += len(message.get("body", b""))
        more = message["type"] != "http.disconnect" and message.get("more_body", False)


def content(result: Answer) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """A body and its headers."""
    if result.json_length is None:
        return result.body, [(b"content-type", b"application/json")]
    length = str(result.json_length).encode()
    return result.body, [(b"content-type", b"application/octet-stream"), (JSON_LENGTH, length)]


async def respond(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    """Send a whole answer."""
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def respond_error(send: Send, status: int, reason: str, *, close: bool = False) -> None:
    """Send a refusal; `close` ends the connection, whose body nobody will read."""
    headers = [(b"content-type", b"application/json")]
    if status == 503:
        headers.append(RETRY_AFTER)
    if close:
        headers.append((b"connection", b"close"))
    await respond(send, status, orjson.dumps({"error": reason}), headers)
