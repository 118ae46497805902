"""The gateway as it runs: a process of its own between real servers and real connections."""

import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from scipy.stats import binomtest

REPO = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 30
PACKED = gzip.compress(b"packed")


@dataclass
class Seen:
    method: str
    path: str
    headers: Any
    body: bytes


class Handler(BaseHTTPRequestHandler):
    """Answers by path; `/hang` and the like wait for the server's gate."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a head and a body are two writes; the second would wait for the first's receipt
    server: "Upstream"

    def setup(self) -> None:
        super().setup()
        self.server.connections.append(self.connection)

    def do_any(self) -> None:
        kind = self.path.split("?")[0].strip("/").split("/")[0]
        if kind == "early":
            self.rfile.read(3)
            self.server.begun.set()
        body = self.read_body()
        self.server.seen.append(Seen(self.command, self.path, self.headers, body))
        getattr(self, f"answer_{kind}", self.answer_echo)()

    do_GET = do_HEAD = do_POST = do_any  # noqa: N815

    def read_body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            length = int(self.headers.get("content-length", 0))
            return self.rfile.read(length - 3 if self.path == "/early" else length)
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def send(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_echo(self) -> None:
        self.send(self.server.name.encode(), x_served_by=self.server.name)

    def answer_hang(self) -> None:
        self.server.begun.set()
        self.server.gate.wait(PATIENCE_SECONDS)
        self.answer_echo()

    def answer_gzip(self) -> None:
        self.send(PACKED, content_encoding="gzip")

    def answer_nothing(self) -> None:
        self.close_connection = True

    def answer_status(self) -> None:
        self.send(b"", status=int(self.path.rpartition("/")[2]))

    def answer_cookies(self) -> None:
        self.send_response(200, "Fine")
        for header, value in (("set-cookie", "a=1"), ("set-cookie", "b=2"), ("keep-alive", "timeout=9")):
            self.send_header(header, value)
        self.send_header("content-length", "0")
        self.end_headers()

    def answer_half(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "10")
        self.end_headers()
        self.wfile.write(b"half")
        self.close_connection = True

    def answer_stream(self) -> None:
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\nfirst\r\n")
        self.server.gate.wait(PATIENCE_SECONDS)
        self.wfile.write(b"4\r\nlast\r\n0\r\n\r\n")

    def answer_watch(self) -> None:
        """Wait until the gateway hangs up."""
        self.server.begun.set()
        self.connection.settimeout(PATIENCE_SECONDS)
        if self.connection.recv(1) == b"":
            self.server.left.set()
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Upstream(ThreadingHTTPServer):
    """A backend that remembers what it was asked."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.name = name
        self.gate = threading.Event()
        self.forget()

    def forget(self) -> None:
        """As new, but for the port."""
        self.gate.set()
        self.seen: list[Seen] = []
        self.connections: list[socket.socket] = []
        self.begun, self.gate, self.left = threading.Event(), threading.Event(), threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def die(self) -> None:
        """Close the port and all connections, as the end of a process does."""
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@dataclass
class Running:
    """A gateway, and how to look at it."""

    process: subprocess.Popen[str]
    url: str
    admin: str
    routes: Path
    client: httpx.Client
    log: list[str] = field(default_factory=list)
    before: dict[tuple[str, ...], float] = field(default_factory=dict)

    def forget(self) -> None:
        """Count from here."""
        self.log.clear()
        self.before = self.metrics()

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Sample's name and label values → value."""
        text = httpx.get(f"{self.admin}/metrics", trust_env=False).text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return {(sample.name, *sample.labels.values()): sample.value for sample in samples}

    def count(self, name: str, *labels: str) -> float:
        """What was added since `forget`."""
        key = (f"fairlead_gateway_{name}", *labels)
        return self.metrics().get(key, 0) - self.before.get(key, 0)

    def reroute(self, *rules: dict[str, Any], **metadata: Any) -> None:
        """Other routes, and wait until they are in use."""
        loaded = self.count("config_loaded_timestamp_seconds")
        write_routes(self.routes, *rules, **metadata)
        eventually(lambda: self.count("config_loaded_timestamp_seconds") > loaded)


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, "it never held"
        time.sleep(0.02)


def rule(*matches: dict[str, Any], filters: list[dict[str, Any]] | None = None, **weights: int) -> dict[str, Any]:
    references = [{"name": name, "port": 80, "weight": weight} for name, weight in weights.items()]
    return {"matches": list(matches), "filters": filters or [], "backendRefs": references}


def mirror(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": name, "port": 80}, **more}}


def write_routes(path: Path, *rules: dict[str, Any], **metadata: Any) -> None:
    document = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "route", **metadata},
        "spec": {"rules": list(rules)},
    }
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
    aside.replace(path)


def command(routes: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "serving.gateway", "--routes", str(routes), *words]


@contextmanager
def serve(name: str) -> Iterator[Upstream]:
    with Upstream(name) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.gate.set()
        server.shutdown()


@pytest.fixture(scope="module")
def pair() -> Iterator[dict[str, Upstream]]:
    with serve("stable") as stable, serve("candidate") as candidate:
        yield {"stable": stable, "candidate": candidate}


@pytest.fixture
def stable(pair: dict[str, Upstream]) -> Upstream:
    pair["stable"].forget()
    return pair["stable"]


@pytest.fixture
def candidate(pair: dict[str, Upstream]) -> Upstream:
    pair["candidate"].forget()
    return pair["candidate"]


@pytest.fixture
def mortal() -> Iterator[Upstream]:
    with serve("candidate") as server:
        yield server


Start = Callable[..., Running]


@pytest.fixture
def launch(tmp_path: Path, stable: Upstream, candidate: Upstream) -> Iterator[Start]:
    """A gateway of the test's own."""
    with ExitStack() as stack:

        def go(*rules: dict[str, Any], flags: tuple[str, ...] = (), **others: Upstream) -> Running:
            routes = tmp_path / "route.yaml"
            write_routes(routes, *rules)
            return stack.enter_context(
                running(routes, [*urls(**{"stable": stable, "candidate": candidate, **others}), *flags])
            )

        yield go


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, pair: dict[str, Upstream]) -> Iterator[Running]:
    routes = tmp_path_factory.mktemp("gateway") / "route.yaml"
    write_routes(routes, rule(stable=1))
    with running(routes, [*urls(**pair), "--seed=1"]) as gateway:
        yield gateway


@pytest.fixture
def start(shared: Running, stable: Upstream, candidate: Upstream) -> Start:
    """One gateway for all tests, with the routes of each; to start one takes a second."""

    def go(*rules: dict[str, Any], **metadata: Any) -> Running:
        shared.client.cookies.clear()
        shared.reroute(*rules, **metadata)
        shared.forget()
        return shared

    return go


def urls(**servers: Upstream) -> list[str]:
    return [f"--backend={name}={server.url}" for name, server in servers.items()]


@contextmanager
def running(routes: Path, words: list[str]) -> Iterator[Running]:
    process = subprocess.Popen(
        [*command(routes, *words), "--port=0", "--admin-port=0"], stderr=subprocess.PIPE, text=True, cwd=REPO
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    try:
        assert line.startswith("routing route on http://127.0.0.1:"), line
        url, admin = (word.strip(",").removesuffix("/metrics") for word in line.split() if word.startswith("http"))
        with httpx.Client(base_url=url, trust_env=False, timeout=PATIENCE_SECONDS) as client:
            gateway = Running(process, url, admin, routes, client)
            reader = threading.Thread(target=lambda: gateway.log.extend(process.stderr or ()), daemon=True)
            reader.start()
            yield gateway
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
        reader.join(PATIENCE_SECONDS)
        assert "Traceback" not in "".join(gateway.log)
    finally:
        process.kill()
        process.wait()


# Where a request goes


def test_requests_split_by_weight_and_are_counted_as_the_backends_saw_them(start, stable, candidate):
    gateway = start(rule(stable=3, candidate=1))
    answers = Counter(gateway.client.get("/v2/x").text for _ in range(300))
    assert binomtest(answers["candidate"], 300, 0.25).pvalue > 0.001
    assert answers == {"stable": len(stable.seen), "candidate": len(candidate.seen)}
    for name in ("stable", "candidate"):
        assert gateway.count("requests_total", name, "200") == answers[name]
        assert gateway.count("request_seconds_count", name) == answers[name]
        assert gateway.count("in_flight_requests", name) == 0


def test_a_header_takes_a_request_to_the_candidate(start):
    gateway = start(rule(stable=1), rule({"headers": [{"name": "x-tester", "value": "yes"}]}, candidate=1))
    answers = [gateway.client.get("/", headers=headers).text for headers in ({}, {"x-tester": "yes"})]
    assert answers == ["stable", "candidate"]


def test_nobody_to_ask_is_a_404_or_a_500_that_says_why(start):
    gateway = start(rule({"path": {"value": "/none"}}, stable=0), rule({"path": {"value": "/some"}}, stable=1))
    missing, empty = gateway.client.get("/else"), gateway.client.get("/none")
    assert (missing.status_code, missing.json()) == (404, {"error": "no rule of route 'route' matches GET /else"})
    assert (empty.status_code, empty.json()["error"]) == (500, "the rule of route 'route' has no backend with a weight")
    assert [gateway.count("requests_total", "", status) for status in ("404", "500")] == [1, 1]


@pytest.mark.parametrize("where", ["header", "cookie"])
def test_a_user_stays_with_one_backend_and_moves_only_towards_a_growing_one(start, where):
    gateway = start(rule(stable=1, candidate=1), annotations={"fairlead.io/sticky": f"{where}=user"})

    def ask(user: int) -> str:
        headers = {"user": f"u{user}"} if where == "header" else {"cookie": f"other=1; user=u{user}"}
        return gateway.client.get("/", headers=headers).text

    first = [ask(user) for user in range(40)]
    assert set(first) == {"stable", "candidate"}
    assert [ask(user) for user in range(40)] == first
    gateway.reroute(rule(stable=1, candidate=3), annotations={"fairlead.io/sticky": f"{where}=user"})
    second = [ask(user) for user in range(40)]
    assert {old for old, new in zip(first, second, strict=True) if old != new} == {"stable"}


# Mirrors


def test_a_mirror_gets_a_marked_copy_that_does_not_count_as_a_request(start, stable, candidate):
    gateway = start(rule(stable=1, filters=[mirror("candidate")]))
    assert gateway.client.post("/v2/x?y=1", content=b"body").text == "stable"
    assert gateway.client.get("/v2/z").text == "stable"
    eventually(lambda: gateway.count("mirrored_total", "candidate", "200") == 2)
    assert sorted((seen.method, seen.path, seen.body) for seen in candidate.seen) == [
        ("GET", "/v2/z", b""),
        ("POST", "/v2/x?y=1", b"body"),
    ]
    assert [seen.headers["x-fairlead-mirrored"] for seen in candidate.seen] == ["1", "1"]
    assert [seen.headers["x-fairlead-mirrored"] for seen in stable.seen] == [None, None]
    assert [gateway.count("requests_total", name, "200") for name in ("stable", "candidate")] == [2, 0]


def test_a_mirror_that_hangs_delays_nobody(start, stable, candidate):
    gateway = start(rule(stable=1, filters=[mirror("candidate")]))
    stable.gate.set()  # only the mirror hangs
    for _ in range(5):
        assert gateway.client.post("/hang", content=b"body").text == "stable"
    eventually(lambda: len(candidate.seen) == 5)
    assert gateway.count("mirrored_total", "candidate", "200") == 0
    candidate.gate.set()
    eventually(lambda: gateway.count("mirrored_total", "candidate", "200") == 5)


def test_a_mirror_that_is_down_fails_nobody(launch, mortal):
    gateway = launch(rule(stable=1, filters=[mirror("candidate")]), candidate=mortal)
    mortal.die()
    assert gateway.client.post("/v2/x", content=b"body").text == "stable"
    eventually(lambda: gateway.count("mirrored_total", "candidate", "503") == 1)


def test_a_body_above_the_limit_reaches_its_backend_but_no_mirror(launch, stable, candidate):
    gateway = launch(rule(stable=1, filters=[mirror("candidate")]), flags=("--mirror-limit=100000",))
    body = os.urandom(3_000_000)
    assert gateway.client.post("/v2/x", content=body).text == "stable"
    assert stable.seen[0].body == body
    assert gateway.count("mirrored_total", "candidate", "too_large") == 1
    assert candidate.seen == []


def test_a_percentage_of_the_requests_is_mirrored(start, candidate):
    gateway = start(rule(stable=1, filters=[mirror("candidate", percent=25)]))
    for _ in range(200):
        gateway.client.get("/")
    eventually(lambda: gateway.count("mirrored_total", "candidate", "200") == len(candidate.seen))
    assert binomtest(len(candidate.seen), 200, 0.25).pvalue > 0.001


# Changes of the file


def test_routes_change_under_load_without_a_failed_request(start):
    gateway = start(rule(stable=1))
    statuses: Counter[int] = Counter()
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=gateway.url, trust_env=False, timeout=PATIENCE_SECONDS) as client:
            while not stop.is_set():
                statuses[client.post("/v2/x", content=b"body").status_code] += 1

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    try:
        for weights in ({"candidate": 1}, {"stable": 1, "candidate": 1}, {"stable": 1}, {"candidate": 1}):
            gateway.reroute(rule(**weights))
    finally:
        stop.set()
        for asker in askers:
            asker.join()
    assert set(statuses) == {200}
    assert gateway.client.get("/").text == "candidate"
    counted = [gateway.count("requests_total", name, "200") for name in ("stable", "candidate")]
    assert sum(counted) == statuses[200] + 1


def test_a_request_at_hand_keeps_the_routes_it_began_with(start, stable):
    gateway = start(rule(stable=1))
    answers: list[str] = []
    asker = threading.Thread(target=lambda: answers.append(gateway.client.get("/hang").text))
    asker.start()
    assert stable.begun.wait(PATIENCE_SECONDS)
    gateway.reroute(rule(candidate=1))
    stable.gate.set()
    asker.join(PATIENCE_SECONDS)
    assert answers == ["stable"]


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("kind: [", "is not YAML"),
        ("", "must be a mapping of keys to values, but is empty"),
        (None, "there is no such file"),
    ],
)
def test_a_broken_file_keeps_the_routes_and_is_told_and_counted(start, broken, told):
    gateway = start(rule(stable=1))
    if broken is None:
        gateway.routes.unlink()
    else:
        gateway.routes.write_text(broken)
    eventually(lambda: gateway.count("config_errors_total") == 1)
    assert gateway.client.get("/").text == "stable"
    eventually(lambda: any("the routes stay as they were" in line and told in line for line in gateway.log))
    gateway.reroute(rule(candidate=1))
    assert gateway.client.get("/").text == "candidate"
    assert gateway.count("config_errors_total") == 1


# What goes wrong


def test_a_backend_that_died_is_a_503_and_the_others_answer_on(launch, mortal):
    gateway = launch(rule(stable=1), rule({"path": {"value": "/c"}}, candidate=1), candidate=mortal)
    assert gateway.client.get("/c").text == "candidate"
    mortal.die()
    eventually(lambda: gateway.client.get("/c").status_code == 503)
    answer = gateway.client.get("/c")
    assert answer.json()["error"].startswith(f"backend candidate ({mortal.url}) gave no answer")
    assert gateway.client.get("/").text == "stable"
    assert gateway.count("requests_total", "candidate", "503") >= 2


def test_a_backend_that_hangs_up_without_an_answer_is_a_502(start):
    gateway = start(rule(stable=1))
    assert gateway.client.post("/nothing", content=b"x").status_code == 502
    assert gateway.count("requests_total", "stable", "502") == 1


def test_a_backend_that_is_silent_for_too_long_is_a_504(launch):
    gateway = launch(rule(stable=1), flags=("--timeout=0.2",))
    assert gateway.client.get("/hang").status_code == 504
    assert gateway.count("requests_total", "stable", "504") == 1


def test_an_answer_that_breaks_off_is_broken_off_for_the_caller_and_counted_as_a_failure(start):
    gateway = start(rule(stable=1))
    with pytest.raises(httpx.RemoteProtocolError):
        gateway.client.get("/half")
    assert gateway.count("requests_total", "stable", "502") == 1


@pytest.mark.parametrize("leave", ["close", "half-close"])
def test_a_caller_that_leaves_takes_its_request_back(start, stable, leave):
    gateway = start(rule(stable=1))
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"GET /watch HTTP/1.1\r\nhost: x\r\n\r\n")
        assert stable.begun.wait(PATIENCE_SECONDS)
        connection.shutdown(socket.SHUT_WR) if leave == "half-close" else connection.close()
        assert stable.left.wait(PATIENCE_SECONDS)
    eventually(lambda: gateway.count("requests_total", "stable", "499") == 1)
    assert gateway.count("in_flight_requests", "stable") == 0


# What passes unchanged


def test_bodies_and_heads_pass_as_they_are(start, stable):
    gateway = start(rule(stable=1))
    packed = http.client.HTTPConnection(gateway.url.removeprefix("http://"))
    packed.request("POST", "/gzip/a%2Fb?q=%20&r", body=PACKED, headers={"content-encoding": "gzip"})
    answer = packed.getresponse()
    assert (answer.headers["content-encoding"], answer.read()) == ("gzip", PACKED)
    assert (stable.seen[0].path, stable.seen[0].body) == ("/gzip/a%2Fb?q=%20&r", PACKED)
    assert stable.seen[0].headers["host"] == gateway.url.removeprefix("http://")
    assert stable.seen[0].headers["x-forwarded-for"] == "127.0.0.1"
    assert {"accept", "user-agent", "content-type"}.isdisjoint(name.lower() for name in stable.seen[0].headers)
    packed.request("POST", "/chunked", body=iter([b"one", b"two"]), encode_chunked=True)
    assert packed.getresponse().read() == b"stable"
    assert (stable.seen[1].body, stable.seen[1].headers["transfer-encoding"]) == (b"onetwo", "chunked")
    packed.request("HEAD", "/x")
    answer = packed.getresponse()
    assert (answer.status, answer.headers["content-length"], answer.read()) == (200, "6", b"")
    packed.close()


@pytest.mark.parametrize("status", [204, 304, 404, 503])
def test_statuses_pass_as_they_are(start, status):
    gateway = start(rule(stable=1))
    assert gateway.client.get(f"/status/{status}").status_code == status
    assert gateway.count("requests_total", "stable", str(status)) == 1


def test_headers_of_an_answer_pass_but_for_those_of_the_connection(start):
    edits = {"set": [{"name": "x-set", "value": "1"}], "remove": ["server"]}
    gateway = start(rule(stable=1, filters=[{"type": "ResponseHeaderModifier", "responseHeaderModifier": edits}]))
    answer = gateway.client.get("/cookies")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert (answer.reason_phrase, answer.headers["x-set"]) == ("Fine", "1")
    assert "keep-alive" not in answer.headers
    assert "BaseHTTP" not in answer.headers.get("server", "")


def test_a_callers_cookies_are_not_the_next_ones(start, stable):
    gateway = start(rule(stable=1))
    for _ in range(2):
        assert httpx.get(f"{gateway.url}/cookies", trust_env=False).cookies["a"] == "1"
    assert "cookie" not in stable.seen[1].headers


def test_a_backends_own_edits_come_after_the_rules_and_mirrors_get_only_the_rules(start, stable, candidate):
    def setting(value: str) -> dict[str, Any]:
        edits = {"set": [{"name": "x-version", "value": value}]}
        return {"type": "RequestHeaderModifier", "requestHeaderModifier": edits}

    edited = rule(stable=1, filters=[mirror("candidate"), setting("rule")])
    edited["backendRefs"][0]["filters"] = [setting("backend")]
    gateway = start(edited)
    gateway.client.get("/")
    eventually(lambda: len(candidate.seen) == 1)
    assert [server.seen[0].headers["x-version"] for server in (stable, candidate)] == ["backend", "rule"]


def test_an_answer_reaches_the_caller_while_the_backend_is_still_sending(start, stable):
    gateway = start(rule(stable=1))
    with gateway.client.stream("GET", "/stream") as answer:
        parts = answer.iter_raw()
        assert next(parts) == b"first"
        stable.gate.set()
        assert b"".join(parts) == b"last"


@pytest.mark.parametrize("filters", [[], [mirror("candidate")]])
def test_a_body_reaches_the_backend_while_the_caller_is_still_sending(start, stable, filters):
    gateway = start(rule(stable=1, filters=filters))
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"))
    connection.putrequest("POST", "/early")
    connection.putheader("content-length", "6")
    connection.endheaders(b"abc")
    assert stable.begun.wait(PATIENCE_SECONDS)
    connection.send(b"def")
    assert connection.getresponse().read() == b"stable"
    connection.close()


def test_a_caller_that_waits_to_be_asked_for_its_body_is_asked(start, stable):
    gateway = start(rule(stable=1))
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"ab")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    assert stable.seen[0].body == b"ab"


def test_connections_to_backends_are_kept(start, stable):
    gateway = start(rule(stable=1))
    for _ in range(20):
        gateway.client.post("/v2/x", content=b"body")
    assert len(stable.seen) == 20
    assert len(stable.connections) <= 1


# Start and end


def test_a_signal_lets_the_request_at_hand_finish_and_ends_with_code_0(launch, stable):
    gateway = launch(rule(stable=1))
    answers: list[str] = []
    asker = threading.Thread(target=lambda: answers.append(gateway.client.get("/hang").text))
    asker.start()
    assert stable.begun.wait(PATIENCE_SECONDS)
    gateway.process.send_signal(signal.SIGTERM)
    host, port = gateway.url.removeprefix("http://").split(":")
    eventually(lambda: refuses(host, int(port)))
    stable.gate.set()
    asker.join(PATIENCE_SECONDS)
    assert answers == ["stable"]
    assert gateway.process.wait(PATIENCE_SECONDS) == 0


def refuses(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return True
    return False


def test_only_this_machine_can_reach_the_ports(start):
    gateway = start(rule(stable=1))
    for url in (gateway.url, gateway.admin):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", int(url.rpartition(":")[2])), timeout=5)


def ended(routes: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(command(routes, *words), capture_output=True, text=True, cwd=REPO, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.parametrize("other", ["--admin-port", "--port"])
def test_a_taken_port_is_one_line_and_code_2(tmp_path, other):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        flags = ["--port", str(port)] if other == "--admin-port" else ["--admin-port", str(port)]
        told = ended(tmp_path / "none.yaml", other, "0", *flags)
    assert told == (2, f"error: cannot listen on 127.0.0.1:{port}: Address already in use\n")


def test_a_route_to_a_backend_without_a_url_is_one_line_and_code_2(tmp_path):
    routes = tmp_path / "route.yaml"
    write_routes(routes, rule(stable=1))
    code, told = ended(routes, "--port=0", "--admin-port=0")
    missing = "spec.rules.0.backendRefs.0.name: has no URL: start the gateway with --backend stable=URL"
    assert (code, told) == (2, f"error: {routes}:1: {missing}\n")


@pytest.mark.parametrize("backend", ["stable", "stable=https://x", "stable=http://x/path", "=http://x", "a=http://x:y"])
def test_a_backend_that_is_no_url_of_a_host_is_refused(tmp_path, backend):
    code, told = ended(tmp_path / "route.yaml", "--backend", backend)
    assert code == 2
    assert f"must be NAME=http://HOST:PORT without a path, but is {backend!r}" in told
