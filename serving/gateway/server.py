"""The gateway as a process: its two ports, its signals, its end."""

import asyncio
import contextlib
import logging.config
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from socket import socket

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from fairlead.listening import begin, show
from serving.gateway.counters import Counters
from serving.gateway.mirroring import Mirrors
from serving.gateway.proxy import Gateway
from serving.gateway.reload import Watch, read_table
from serving.gateway.upstream import open_session

GRACE_SECONDS = 30
"""How long requests may take to finish after a signal: the grace period of a pod."""
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "serving": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "aiohttp": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
    },
}
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Options:
    """What a gateway is told at its start."""

    routes: Path
    backends: Mapping[str, str]
    """`name` or `name:port` → URL without a path."""
    timeout_seconds: float
    """How long a backend may be silent."""
    mirror_limit_bytes: int
    """A larger body is not mirrored."""
    seed: int | None = None
    """Of the choice by weight; None: another one in each process."""


def run(options: Options, listener: socket, admin: socket) -> None:
    """Route until SIGTERM or SIGINT, then finish the requests at hand.

    Raises:
        SpecError: the routes file is refused; nothing was answered.
    """
    logging.config.dictConfig(LOGGING)
    asyncio.run(_serve(options, listener, admin))


async def _serve(options: Options, listener: socket, admin: socket) -> None:
    told_to_leave = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told_to_leave.set)
    counters = Counters()
    async with (
        _answering(_admin(counters), admin),
        _gateway(options, counters) as gateway,
        _answering(gateway.handle, listener),
        _watching(options, counters, gateway),
    ):
        sys.stderr.write(
            f"routing {gateway.table.name} on http://{_address(listener)}, metrics on http://{_address(admin)}/metrics\n"
        )
        sys.stderr.flush()
        await told_to_leave.wait()


@asynccontextmanager
async def _gateway(options: Options, counters: Counters) -> AsyncIterator[Gateway]:
    table = read_table(options.routes, options.backends)
    counters.loaded()
    async with open_session(options.timeout_seconds) as primary, open_session(options.timeout_seconds) as secondary:
        mirrors = Mirrors(secondary, counters, options.timeout_seconds, options.mirror_limit_bytes)
        yield Gateway(table, primary, mirrors, counters, Random(options.seed))
        await mirrors.close()


@asynccontextmanager
async def _answering(handler: Handler, listener: socket) -> AsyncIterator[None]:
    server = web.Server(handler, handler_cancellation=True, auto_decompress=False, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=GRACE_SECONDS)
    await runner.setup()
    begin(listener)
    await web.SockSite(runner, listener).start()
    try:
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _watching(options: Options, counters: Counters, gateway: Gateway) -> AsyncIterator[None]:
    watch = Watch(options.routes, options.backends, counters, lambda table: setattr(gateway, "table", table))
    task = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _admin(counters: Counters) -> Handler:
    async def answer(request: web.BaseRequest) -> web.Response:
        if request.path == "/metrics":
            return web.Response(body=counters.text(), headers={"content-type": CONTENT_TYPE_LATEST})
        if request.path == "/healthz":
            return web.Response(text="ok\n")
        return web.Response(status=404, text="there are /metrics and /healthz\n")

    return answer


def _address(listener: socket) -> str:
    return show(*listener.getsockname()[:2])
