"""The client of the demo, against a server that is busy for a while."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest

from fairlead.adapters.endpoint import TRIES, Endpoint
from fairlead.errors import EndpointError
from tests.http_server import answering

ANSWER = {"id": "1", "outputs": [{"name": "score", "data": [0.25]}, {"name": "decision", "data": [False]}]}


@contextmanager
def server(busy: int) -> Iterator[tuple[str, list[int]]]:
    """Answers 503 to the first requests; its address, and the statuses that it answered."""
    told: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            told.append(503 if len(told) < busy else 200)
            body = json.dumps(ANSWER if told[-1] == 200 else {"error": "the online store did not answer"}).encode()
            self.send_response(told[-1])
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with answering(Handler) as url:
        yield url, told


def test_a_request_that_a_busy_server_refuses_is_asked_again():
    with server(busy=1) as (url, told):
        assert Endpoint(url).score("flight-delay", {"distance": [1.0]}).scores == [0.25]
    assert told == [503, 200]


def test_a_server_that_stays_busy_is_an_error():
    with server(busy=TRIES) as (url, told), pytest.raises(EndpointError, match="answered 503"):
        Endpoint(url).score("flight-delay", {"distance": [1.0]})
    assert told == [503] * TRIES
