"""Answers every whole request with the same 200. `python -m benchmarks.serving.programs.constant PORT`."""

import asyncio
import sys
from typing import cast

import uvloop

BODY = b'{"model_name":"bench-vector","outputs":[]}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Constant(asyncio.Protocol):
    """Reads as much as it must to know where a request ends; one request at a time, as wrk sends them."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class, which is registered nowhere
        self._awaited = 0

    def data_received(self, data: bytes) -> None:
        if not self._awaited:
            head = data.index(b"\r\n\r\n") + 4
            self._awaited = head + content_length(data[:head])
        self._awaited -= len(data)
        if not self._awaited:
            self._transport.write(ANSWER)


def content_length(head: bytes) -> int:
    """0 where there is none, as in a GET."""
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest[: rest.index(b"\r\n")]) if found else 0


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Constant, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
