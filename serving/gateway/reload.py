"""Keeps the routes those of their file while the gateway runs."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from fairlead.errors import SpecError
from serving.gateway.counters import Counters
from serving.gateway.route import load_route
from serving.gateway.routing import RouteTable

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
"""Between two looks at the file. Looking works on every file system, also through renames and symbolic links."""

State = tuple[int, int, int] | None
"""Inode, size and time of change in nanoseconds; None: there is no file."""


def read_table(path: Path, backends: Mapping[str, str]) -> RouteTable:
    """The routes of a file, compiled.

    Raises:
        SpecError: one line a problem.
    """
    return RouteTable(load_route(path, backends), backends)


class Watch:
    """Looks at the routes file and tells when it has become another valid one."""

    def __init__(
        self, path: Path, backends: Mapping[str, str], counters: Counters, use: Callable[[RouteTable], None]
    ) -> None:
        self._path = path
        self._backends = backends
        self._counters = counters
        self._use = use
        self._read = _state(path)

    async def run(self) -> None:
        """Look until cancelled."""
        seen = self._read
        while True:
            await asyncio.sleep(POLL_SECONDS)
            now = _state(self._path)
            # Read when two looks agree: a file that is being written may be valid and yet not whole.
            if now == seen and now != self._read:
                self._read = now
                await self._reload()
            seen = now

    async def _reload(self) -> None:
        try:
            table = await asyncio.to_thread(read_table, self._path, self._backends)
        except SpecError as error:
            self._counters.config_errors.inc()
            log.error("the routes stay as they were: %s", error)
            return
        self._use(table)
        self._counters.loaded()
        log.info("new routes from %s", self._path)


def _state(path: Path) -> State:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
