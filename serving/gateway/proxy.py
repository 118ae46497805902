"""One request from a caller to a backend and its answer back, both streamed."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from random import Random
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientResponse, ClientSession, web
from multidict import CIMultiDict
from yarl import URL

from serving.gateway.choice import by_chance, by_key
from serving.gateway.counters import CLIENT_LEFT, NOBODY, Counters
from serving.gateway.headers import for_backend, passed_on
from serving.gateway.mirroring import CopiedRequest, Mirrors
from serving.gateway.routing import Asked, Backend, RouteTable, Target, edit
from serving.gateway.upstream import Body, status_of

log = logging.getLogger(__name__)


class BrokeOffError(Exception):
    """A backend's answer ended before its end."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


class Gateway:
    """Answers requests by the routes it has at their beginning."""

    def __init__(
        self, table: RouteTable, session: ClientSession, mirrors: Mirrors, counters: Counters, chance: Random
    ) -> None:
        self.table = table
        """May be replaced at any time; a request at hand keeps the one it began with."""
        self._session = session
        self._mirrors = mirrors
        self._counters = counters
        self._chance = chance

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        asked = _asked(request)
        target = self.table.find(asked)
        if target is None:
            return self._refuse(404, f"no rule of route {self.table.name!r} matches {asked.method} {asked.path}")
        backend = self._choose(target, request)
        if backend is None:
            return self._refuse(500, f"the rule of route {self.table.name!r} has no backend with a weight")
        return await self._counted(request, asked, target, backend)

    def _choose(self, target: Target, request: web.BaseRequest) -> Backend | None:
        cookies = request.cookies if self.table.reads_cookies else {}
        key = self.table.key(request.headers, cookies)
        if key is not None:
            return by_key(target.backends, key)
        return by_chance(target.backends, self._chance.random())

    async def _counted(
        self, request: web.BaseRequest, asked: Asked, target: Target, backend: Backend
    ) -> web.StreamResponse:
        started = time.perf_counter()
        in_flight = self._counters.in_flight.labels(backend.label)
        in_flight.inc()
        status = 500
        try:
            status, response = await self._exchange(request, asked, target, backend)
            return response
        except asyncio.CancelledError:
            status = CLIENT_LEFT
            raise
        finally:
            in_flight.dec()
            self._counters.finished(backend.label, status, time.perf_counter() - started)

    async def _exchange(
        self, request: web.BaseRequest, asked: Asked, target: Target, backend: Backend
    ) -> tuple[int, web.StreamResponse]:
        """The status to count and the answer; they differ where an answer breaks off after its head."""
        headers = for_backend(request.headers, request.remote, request.headers.get("host", ""))
        edit(headers, target.request_edit)
        copied = self._copies(target, asked, headers)
        await _continue(request)
        body = _body(request, copied)
        edit(headers, backend.request_edit)
        url = URL(backend.url + asked.target, encoded=True)
        try:
            async with self._session.request(
                asked.method, url, headers=headers, data=body, allow_redirects=False
            ) as answer:
                return await _pass_back(request, answer, target)
        except (ClientError, TimeoutError) as error:
            return _failed(backend, error)
        finally:
            if copied is not None:
                copied.abandon()

    def _copies(self, target: Target, asked: Asked, headers: CIMultiDict[str]) -> CopiedRequest | None:
        to = [mirror for mirror in target.mirrors if self._chance.random() < mirror.share]
        return CopiedRequest(self._mirrors, to, asked.method, asked.target, headers.copy()) if to else None

    def _refuse(self, status: int, message: str) -> web.Response:
        self._counters.requests.labels(NOBODY, str(status)).inc()
        return _own(status, message)


def _asked(request: web.BaseRequest) -> Asked:
    target = request.raw_path
    if not target.startswith("/") and "://" in target:  # the absolute form, which only proxies are sent
        parts = urlsplit(target)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = request.headers.get("host", "").lower()
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return Asked(request.method, name, target, request.headers)


async def _continue(request: web.BaseRequest) -> None:
    """Ask for the body of a caller that waits to be asked."""
    if request.headers.get("expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # of the answer proper


def _body(request: web.BaseRequest, copied: CopiedRequest | None) -> Body:
    if not request.body_exists:
        if copied is not None:
            copied.send(None)
        return None
    return request.content.iter_any() if copied is None else copied.follow(request.content)


async def _pass_back(
    request: web.BaseRequest, answer: ClientResponse, target: Target
) -> tuple[int, web.StreamResponse]:
    headers = passed_on(answer.headers)
    edit(headers, target.response_edit)
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    try:
        await response.prepare(request)
        async for chunk in _read(answer):
            await response.write(chunk)
        await response.write_eof()
    except BrokeOffError as broken:
        return _break_off(request, broken), response
    except ConnectionError:
        return CLIENT_LEFT, response
    return answer.status, response


async def _read(answer: ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.content.iter_any():
            yield chunk
    except (ClientError, TimeoutError) as error:
        raise BrokeOffError(_reason(error), status_of(error)) from error


def _break_off(request: web.BaseRequest, broken: BrokeOffError) -> int:
    """Show the caller that its answer is not whole: there is no other way once the head is out."""
    log.warning("an answer to %s broke off: %s", request.raw_path, broken)
    if request.transport is not None:
        request.transport.abort()
    return broken.status


def _failed(backend: Backend, error: Exception) -> tuple[int, web.StreamResponse]:
    status = status_of(error)
    message = f"backend {backend.label} ({backend.url}) gave no answer: {_reason(error)}"
    log.warning("%d %s", status, message)
    return status, _own(status, message)


def _own(status: int, message: str) -> web.Response:
    body = json.dumps({"error": message}).encode()
    return web.Response(status=status, body=body, content_type="application/json")


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
