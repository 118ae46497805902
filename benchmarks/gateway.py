"""What the local gateway costs: requests a second through it, beside the same upstream asked directly.

The upstream answers a POST of 200 bytes with 200 bytes, from a process of its own; so does the gateway, with a route of
90 to 10. Connections are kept. Rounds alternate between the ways; prints median and spread of requests a second, and
the processor time of the gateway for one request, which other work on the machine disturbs less.
"""

import argparse
import asyncio
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

import psutil

BODY = b"x" * 200
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 200\r\n\r\n" + BODY
RULE = {
    "backendRefs": [{"name": "stable", "port": 80, "weight": 90}, {"name": "candidate", "port": 80, "weight": 10}],
}
MIRRORING = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "candidate", "port": 80}}}


class Upstream(asyncio.Protocol):
    """Answers each request as soon as its body is there."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._seen = b""

    def data_received(self, data: bytes) -> None:
        self._seen += data
        head, found, body = self._seen.partition(b"\r\n\r\n")
        if found and len(body) >= len(BODY):
            assert head.startswith(b"POST")
            self._seen = b""
            self._transport.write(ANSWER)


class Caller(asyncio.Protocol):
    """Asks again as soon as it is answered, until told to stop."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.answered = 0
        self._missing = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._missing += data
        head, found, body = self._missing.partition(b"\r\n\r\n")
        if found and len(body) >= len(BODY):
            assert head.startswith(b"HTTP/1.1 200"), head
            self._missing = b""
            self.answered += 1
            self.transport.write(self._request)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", file=sys.stderr, flush=True)
    await server.serve_forever()


async def load(url: str, connections: int, seconds: float) -> tuple[int, float]:
    """How many answers came, and in which time."""
    host, _, port = url.removeprefix("http://").partition(":")
    request = b"POST /v2/models/m/infer HTTP/1.1\r\nhost: bench\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    pairs = [await loop.create_connection(lambda: Caller(request), host, int(port)) for _ in range(connections)]
    await asyncio.sleep(seconds)
    taken = time.perf_counter() - started
    answered = sum(caller.answered for _, caller in pairs)
    for transport, _ in pairs:
        transport.abort()
    return answered, taken


@contextmanager
def child(*words: str) -> Iterator[tuple[str, psutil.Process]]:
    """A process that tells its URL on stderr."""
    process = subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        yield "http://" + line.partition("http://")[2].split(",")[0].strip(), psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def gateway(folder: Path, name: str, rule: dict[str, object], upstream: str) -> list[str]:
    """The command of a gateway with one rule."""
    path = folder / f"{name}.yaml"
    document = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": name}}
    path.write_text(json.dumps({**document, "spec": {"rules": [rule]}}), encoding="utf-8")  # JSON is YAML
    urls = [word for backend in ("stable", "candidate") for word in ("--backend", f"{backend}={upstream}")]
    return ["-m", "serving.gateway", "--routes", str(path), *urls, "--port", "0", "--admin-port", "0"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one round")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--upstream", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.upstream:
        asyncio.run(serve())
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ways = {"direct": stack.enter_context(child(__file__, "--upstream"))}
        upstream = ways["direct"][0]
        for name, rule in (("gateway", RULE), ("mirroring", {**RULE, "filters": [MIRRORING]})):
            ways[name] = stack.enter_context(child(*gateway(folder, name, rule, upstream)))
        report(measure(ways, options.rounds, options.connections, options.seconds), options)


def measure(
    ways: dict[str, tuple[str, psutil.Process]], rounds: int, connections: int, seconds: float
) -> dict[str, list[tuple[float, float]]]:
    """By way: requests a second and the processor milliseconds that its process took for one, round by round."""
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (url, process) in ways.items():
            before = sum(process.cpu_times()[:2])
            answered, taken = asyncio.run(load(url, connections, seconds))
            busy = sum(process.cpu_times()[:2]) - before
            figures[name].append((answered / taken, busy / answered * 1000))
    return figures


def report(figures: dict[str, list[tuple[float, float]]], options: argparse.Namespace) -> None:
    print(
        f"Python {platform.python_version()}, aiohttp {version('aiohttp')}, {options.connections} connections, "
        f"{options.rounds} rounds of {options.seconds:g} s"
    )
    for name, rounds in figures.items():
        rates, costs = [rate for rate, _ in rounds], [cost for _, cost in rounds]
        print(
            f"{name:<10} {statistics.median(rates):8.0f} requests/s  [{min(rates):.0f}, {max(rates):.0f}]"
            f"   {statistics.median(costs):6.3f} ms of processor each  [{min(costs):.3f}, {max(costs):.3f}]"
        )


if __name__ == "__main__":
    main()
