"""A redis-server beside the caller: for tests and benchmarks against the real one."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from fairlead.errors import StoreDownError

HOST = "127.0.0.1"
START_SECONDS = 20
STOP_SECONDS = 10


@contextmanager
def redis_server(folder: Path, port: int | None = None) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a server that keeps nothing on disk; its port is the last of the process's `args`.

    Args:
        folder: its working directory, where its log is too.
        port: on the loopback address; None: a free one.

    Raises:
        StoreDownError: there is no redis-server on the PATH, or it does not answer.
    """
    number = port or _free_port()
    command = ["redis-server", "--save", "", "--appendonly", "no", "--bind", HOST, "--port", str(number)]
    with (folder / "redis.log").open("ab") as log:
        try:
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        except FileNotFoundError:
            raise StoreDownError("redis-server must be on the PATH; Debian's package is redis-server") from None
    try:
        _wait(process, number)
        yield process
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def port_of(process: "subprocess.Popen[bytes]") -> int:
    """Where a server that `redis_server` started listens."""
    assert isinstance(process.args, list)
    return int(str(process.args[-1]))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(process: "subprocess.Popen[bytes]", port: int) -> None:
    end = time.monotonic() + START_SECONDS
    client = redis.Redis(HOST, port)
    while process.poll() is None and time.monotonic() < end:
        try:
            client.ping()
        except redis.ConnectionError:
            time.sleep(0.02)
        else:
            return
    raise StoreDownError(f"redis-server must answer at {HOST}:{port} within {START_SECONDS} s, but did not")
