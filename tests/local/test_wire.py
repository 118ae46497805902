"""HTTP as it comes over a socket: in pieces, too slowly, too much, several at once, and from clients that leave."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from serving.wire import LONGEST_HEAD, MOST_HEADS, Head, Heads
from tests.local.test_serving import write
from tests.local.test_workers import Running, serving

PATH = "/v2/models/flight-delay-vector/infer"
BODY = json.dumps({"inputs": [{"name": "features", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 2.0]}]}).encode()
SCORE = 1 / (1 + 2.718281828459045**-3)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("wire")
    limits = ["--request-seconds", "1.5", "--keep-alive-seconds", "3", "--max-body-mb", "1", "--max-concurrency", "8"]
    with serving(folder / "log", "--bundle", str(write(folder / "bundle")), *limits) as running:
        yield running
    assert running.process.returncode == 0
    assert "Traceback" not in running.log.read_text()


def connect(server: Running) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def request(body: bytes = BODY, *headers: str, path: str = PATH, version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "host: x", "content-type: application/json"]
    lines += [f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Reader:
    """Reads answers one after the other."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rb")

    def next(self) -> tuple[int, dict[str, str], Any]:
        status = int(self._file.readline().split()[1])
        headers = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = self._file.read(int(headers["content-length"]))
        return status, headers, json.loads(body)

    def at_end(self) -> bool:
        return self._file.read(1) == b""


def score(answer: Any) -> float:
    value: float = answer["outputs"][0]["data"][1]
    return value


def test_a_request_may_come_byte_by_byte(server: Running) -> None:
    with connect(server) as connection:
        for byte in request():
            connection.sendall(bytes([byte]))
        status, _, answer = Reader(connection).next()
    assert (status, score(answer)) == (200, pytest.approx(SCORE))


def test_requests_that_come_at_once_are_answered_in_their_order(server: Running) -> None:
    with connect(server) as connection:
        ids = [f"mine-{number}" for number in range(6)]
        paths = [PATH, "/v2/models/flight-delay/infer"]  # the second is a mistake, answered by another route
        bodies = [json.dumps({**json.loads(BODY), "id": name}).encode() for name in ids]
        connection.sendall(b"".join(request(body, path=paths[index % 2]) for index, body in enumerate(bodies)))
        reader = Reader(connection)
        answers = [reader.next() for _ in ids]
    assert [status for status, _, _ in answers] == [200, 400] * 3
    assert [answer["id"] for status, _, answer in answers if status == 200] == ids[::2]


def vector(first: float) -> bytes:
    tensor = {"name": "features", "shape": [1, 2], "datatype": "FP32", "data": [first, 2.0]}
    return json.dumps({"inputs": [tensor]}).encode()


def test_a_client_that_repeats_its_head_gets_the_answers_to_its_bodies(server: Running) -> None:
    with connect(server) as connection:
        reader = Reader(connection)
        for first in (1.0, 2.0, 3.0, 1.0):
            connection.sendall(request(vector(first)))
            status, _, answer = reader.next()
            assert (status, score(answer)) == (200, pytest.approx(1 / (1 + 2.718281828459045 ** -(first + 2))))


def test_a_head_that_is_known_may_come_in_pieces_or_twice_at_once_or_with_a_wrong_body(server: Running) -> None:
    wrong = BODY.replace(b"FP32", b"FP64")
    with connect(server) as connection:
        reader = Reader(connection)
        for pieces in ([request()], [request()[:20], request()[20:]], [request()[:-5], request()[-5:]]):
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(0.02)
            assert reader.next()[0] == 200
        connection.sendall(request() + request(wrong) + request())
        assert [reader.next()[0] for _ in range(3)] == [200, 400, 200]
        connection.sendall(request(wrong))
        assert reader.next()[0] == 400
        connection.sendall(request())
        assert reader.next()[0] == 200


def test_a_known_head_is_answered_behind_what_came_before_it(server: Running) -> None:
    with connect(server) as connection:
        reader = Reader(connection)
        connection.sendall(request())
        assert reader.next()[0] == 200
        connection.sendall(request(path="/v1/models/nobody:predict"))  # takes the SDK's route, which waits
        connection.sendall(request())
        assert [reader.next()[0] for _ in range(2)] == [404, 200]


def test_heads_are_kept_for_as_many_as_are_allowed_and_none_that_is_long() -> None:
    heads, meaning = Heads(), Head("/v2", 1, None, False)
    for number in range(MOST_HEADS + 1):
        heads.remember(b"%d" % number, meaning)
    assert dict(heads) == {b"%d" % MOST_HEADS: meaning}
    heads.remember(b"x" * (LONGEST_HEAD + 1), meaning)
    assert len(heads) == 1


def test_a_chunked_body_is_understood(server: Running) -> None:
    head = request().partition(b"content-length")[0] + b"transfer-encoding: chunked\r\n\r\n"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:20], BODY[20:])) + b"0\r\n\r\n"
    with connect(server) as connection:
        connection.sendall(head + chunks)
        assert Reader(connection).next()[0] == 200


@pytest.mark.parametrize(("version", "header"), [("1.0", "x: y"), ("1.1", "connection: close")])
def test_a_connection_ends_where_the_client_wants_it_to(server: Running, version: str, header: str) -> None:
    with connect(server) as connection:
        connection.sendall(request(BODY, header, version=version))
        reader = Reader(connection)
        status, headers, _ = reader.next()
        assert (status, headers["connection"]) == (200, "close")
        assert reader.at_end()


def test_a_client_that_waits_for_a_go_ahead_gets_it(server: Running) -> None:
    head, _, body = request(BODY, "expect: 100-continue").partition(b"\r\n\r\n")
    with connect(server) as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(1024).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        assert Reader(connection).next()[0] == 200


@pytest.mark.parametrize("path", [PATH, "/v1/models/nobody:predict", "/v2/models/flight-delay/infer"])
def test_a_client_that_has_closed_its_side_is_still_answered(server: Running, path: str) -> None:
    with connect(server) as connection:
        connection.sendall(request(path=path))
        connection.shutdown(socket.SHUT_WR)
        reader = Reader(connection)
        assert reader.next()[0] in (200, 400, 404)
        assert reader.at_end()


@pytest.mark.parametrize(
    "sent", [b"P", b"POST / HTTP/1.1\r\nhost: x\r\n", request()[:-5], request(path="/v1/models/nobody:predict")[:-5]]
)
def test_a_client_that_is_too_slow_is_cut_off_and_nobody_else_waits(server: Running, sent: bytes) -> None:
    with connect(server) as slow, connect(server) as other:
        slow.sendall(sent)
        other.sendall(request())
        assert Reader(other).next()[0] == 200
        assert slow.recv(1024) == b""


def test_an_idle_connection_is_closed(server: Running) -> None:
    with connect(server) as connection:
        connection.sendall(request())
        reader = Reader(connection)
        assert reader.next()[0] == 200
        assert reader.at_end()


@pytest.mark.parametrize("path", [PATH, "/v1/models/flight-delay:predict"])
@pytest.mark.parametrize("told", [True, False], ids=["length told", "chunked"])
def test_a_body_that_is_too_large_is_a_413(server: Running, path: str, told: bool) -> None:
    def content() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 2**20

    whole: Any = b" " * (2 * 2**20) if told else content()
    try:
        answer = httpx.post(
            server.url + path, content=whole, headers={"content-type": "application/json"}, trust_env=False
        )
    except httpx.TransportError:
        assert not told, "the server has answered and left while the client was still sending"
        return
    assert answer.status_code == 413
    assert "at most 1048576 bytes" in answer.json()["error"]


@pytest.mark.parametrize("path", [PATH, "/v1/models/flight-delay:predict"])
def test_a_client_that_sends_all_before_it_reads_gets_the_413(server: Running, path: str) -> None:
    with connect(server) as connection:
        connection.sendall(request(b" " * (6 * 2**20), path=path))
        status, headers, answer = Reader(connection).next()
    assert (status, headers["connection"]) == (413, "close")
    assert "at most 1048576 bytes" in answer["error"]


def test_a_client_that_waits_for_a_go_ahead_is_refused_before_it_sends(server: Running) -> None:
    head, _, _ = request(b" " * (6 * 2**20), "expect: 100-continue").partition(b"\r\n\r\n")
    with connect(server) as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert Reader(connection).next()[0] == 413


@pytest.mark.parametrize("kind", ["text/xml", "image/png", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("path", [PATH, "/v1/models/flight-delay:predict"])
def test_a_body_of_another_kind_is_a_415(server: Running, path: str, kind: str) -> None:
    answer = httpx.post(server.url + path, content=BODY, headers={"content-type": kind}, trust_env=False)
    assert answer.status_code == 415
    assert kind in answer.json()["error"]


def test_a_compressed_body_is_a_415(server: Running) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert httpx.post(server.url + PATH, content=BODY, headers=headers, trust_env=False).status_code == 415


def test_what_is_no_http_is_refused_and_the_server_lives_on(server: Running) -> None:
    for garbage in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"\x00" * 100):
        with connect(server) as connection:
            connection.sendall(garbage)
            assert connection.recv(1024)[:12] in (b"HTTP/1.1 400", b"")
    assert httpx.get(server.url + "/v2/health/ready", trust_env=False).status_code == 200


def test_more_requests_than_may_wait_are_refused_at_once_and_the_next_one_is_answered(server: Running) -> None:
    connections = [connect(server) for _ in range(200)]
    try:
        for connection in connections:
            connection.sendall(request()[:-1])
        time.sleep(0.2)
        for connection in connections:
            connection.sendall(request()[-1:])
        answers = [Reader(connection).next() for connection in connections]
    finally:
        for connection in connections:
            connection.close()
    assert {status for status, _, _ in answers} <= {200, 503}
    assert all(score(answer) == pytest.approx(SCORE) for status, _, answer in answers if status == 200)
    assert all(headers["retry-after"] for status, headers, _ in answers if status == 503)
    assert (
        httpx.post(
            server.url + PATH, content=BODY, headers={"content-type": "application/json"}, trust_env=False
        ).status_code
        == 200
    )


def test_copies_that_a_gateway_mirrors_are_counted_apart(server: Running) -> None:
    headers = {"content-type": "application/json", "x-fairlead-mirrored": "1"}
    assert httpx.post(server.url + PATH, content=BODY, headers=headers, trust_env=False).status_code == 200
    text = httpx.get(server.url + "/metrics", trust_env=False).text
    counted = next(line for line in text.splitlines() if 'traffic="mirrored"' in line and "requests_total" in line)
    assert counted.endswith('status="200",traffic="mirrored",version="3"} 1.0')
