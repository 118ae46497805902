"""Far more than a server can take, for a while: it refuses what it must, is never wrong, and is well again at once."""

import asyncio
import json
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.local.test_serving import write
from tests.local.test_workers import Running, serving

CONNECTIONS, SECONDS = 400, 20
ALLOWED = 8
"""Requests that may wait; fifty times as many come."""
PATH = "/v2/models/flight-delay-vector/infer"


def request(first: float) -> bytes:
    tensor = {"name": "features", "shape": [1, 2], "datatype": "FP32", "data": [first, 0.0]}
    body = json.dumps({"inputs": [tensor], "id": str(first)}).encode()
    return b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        PATH.encode(),
        len(body),
        body,
    )


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: float
) -> tuple[int, dict[str, object]]:
    writer.write(request(first))
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    return int(head.split()[1]), json.loads(await reader.readexactly(length))


async def one_client(host: str, port: int, end: float, seen: Counter[int], wrong: list[object]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    chance = random.Random(id(writer))
    while asyncio.get_running_loop().time() < end:
        first = float(chance.randint(-3, 3))
        status, answer = await ask(reader, writer, first)
        seen[status] += 1
        if status == 200 and answer["id"] != str(first):
            wrong.append(answer)
    writer.close()


async def flood(server: Running) -> tuple[Counter[int], list[object]]:
    host, port = server.url.removeprefix("http://").split(":")
    seen: Counter[int] = Counter()
    wrong: list[object] = []
    end = asyncio.get_running_loop().time() + SECONDS
    await asyncio.gather(*(one_client(host, int(port), end, seen, wrong) for _ in range(CONNECTIONS)))
    return seen, wrong


@pytest.mark.slow
def test_fifty_times_as_many_requests_as_allowed_get_the_right_answer_or_a_503(tmp_path: Path) -> None:
    words = ["--bundle", str(write(tmp_path / "bundle")), "--max-concurrency", str(ALLOWED)]
    with serving(tmp_path / "log", *words) as server:
        seen, wrong = asyncio.run(flood(server))
        assert not wrong
        assert set(seen) == {200, 503}
        assert {server.predict().status_code for _ in range(20)} == {200}
        text = server.call("GET", "/metrics").text
    refused = next(line for line in text.splitlines() if line.startswith("fairlead_requests_rejected_total{"))
    assert float(refused.split()[-1]) == seen[503]
    assert "Traceback" not in (tmp_path / "log").read_text()
