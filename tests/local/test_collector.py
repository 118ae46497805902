"""Records on their way: real senders, a real collector, and kills of both."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest
import uvicorn

from fairlead.adapters.delta_records import DeltaRecords
from fairlead.adapters.memory_records import MemoryRecords
from fairlead.adapters.memory_results import MemoryResults
from fairlead.errors import EndpointError
from fairlead.listening import listen
from fairlead.ports import RecordStore
from fairlead.records.delivery import REJECTED_FILE, Delivery, Pace
from fairlead.records.record import BATCH_TYPE
from fairlead.records.spool import Spool
from monitoring.collector.app import CollectorService
from monitoring.collector.limits import Limits
from monitoring.collector.server import run
from tests.http_server import answering

QUICK = Pace(idle=0.02, first_wait=0.05, longest_wait=0.2, adopt=0.1)
STRUCTURED = {"content-type": "application/cloudevents+json"}
BATCH = {"content-type": BATCH_TYPE}
PATIENCE_SECONDS = 60


def event(identifier: str, **changes: object) -> bytes:
    data = {
        "model": "m",
        "version": "1",
        "rows": 1,
        "scores": [0.5],
        "decisions": [True],
        "latency_ms": 1,
        "status": 200,
    }
    content = {
        "specversion": "1.0",
        "type": "io.fairlead.prediction.v1",
        "source": "/models/m/1",
        "id": identifier,
        "time": datetime.now(UTC).isoformat(),
        "data": {**data, **changes},
    }
    return json.dumps(content).encode()


class Collectors:
    """Collectors of one folder, one after the other, on one port."""

    def __init__(self, folder: Path) -> None:
        self.tables = folder / "tables"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[str] | None = None

    def start(self, *options: str) -> None:
        command = [sys.executable, "-m", "monitoring.collector", "--tables-uri", str(self.tables)]
        command += ["--port", str(self.port), *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        assert self.process.stderr.readline() == f"receiving on {self.url}\n"

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_SECONDS)
        assert self.process.stderr is not None
        assert self.process.stderr.read() == ""
        self.process.stderr.close()
        self.process = None
        return code

    def kept(self) -> list[str]:
        rows = DeltaRecords(str(self.tables)).read("m", date(2000, 1, 1), date(2100, 1, 1))
        return sorted(rows.column("event_id").to_pylist())

    def post(self, content: bytes, headers: dict[str, str]) -> httpx.Response:
        return httpx.post(self.url, content=content, headers=headers, timeout=PATIENCE_SECONDS)


@pytest.fixture
def collectors(tmp_path: Path) -> Iterator[Collectors]:
    collectors = Collectors(tmp_path)
    yield collectors
    if collectors.process is not None:
        collectors.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collectors]:
    collectors = Collectors(tmp_path_factory.mktemp("collector"))
    collectors.start("--body-bytes", "20000")
    yield collectors
    collectors.end(signal.SIGKILL)


def wait_until(done: Callable[[], bool]) -> None:
    for _ in range(PATIENCE_SECONDS * 50):
        if done():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come about")


def delivery(spool: Spool, url: str, folder: Path) -> Delivery:
    return Delivery(spool, url, rejected=folder, rejected_bytes=100_000, pace=QUICK)


def test_all_three_modes_of_cloud_events_are_taken_and_duplicates_are_not(shared: Collectors):
    content = json.loads(event("binary"))
    headers = {f"ce-{name}": value for name, value in content.items() if name != "data"}
    answers = [
        shared.post(event("structured"), STRUCTURED),
        shared.post(b"[" + event("batch 1") + b"," + event("batch 2") + b"," + event("structured") + b"]", BATCH),
        shared.post(json.dumps(content["data"]).encode(), {**headers, "content-type": "application/json"}),
    ]
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert shared.kept() == ["batch 1", "batch 2", "binary", "structured"]
    metrics = httpx.get(f"{shared.url}/metrics").text
    assert 'fairlead_collector_rows_total{model="m"} 4.0' in metrics
    assert 'fairlead_collector_duplicate_rows_total{model="m"} 1.0' in metrics
    assert httpx.get(f"{shared.url}/healthz").text == "ok\n"


@pytest.mark.parametrize(
    ("content", "headers", "status", "reason"),
    [
        (b"[" + event("good") + b"," + event("bad", rows=2) + b"]", BATCH, 400, "1.data: scores must hold 2 values"),
        (event("bad", model="../m"), STRUCTURED, 400, "data.model: "),
        (b"[", BATCH, 400, "the body: Invalid JSON"),
        (b"{}", {"content-type": "application/json"}, 415, "a request must be application/cloudevents-batch+json"),
        (b"{}", {"content-type": "application/json", "ce-specversion": "1.0"}, 400, "must have the header ce-type"),
        (event("large", error="x" * 20_000), STRUCTURED, 413, "at most 20000 bytes"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_half_taken(
    shared: Collectors, content: bytes, headers: dict[str, str], status: int, reason: str
):
    before = shared.kept() if shared.tables.exists() else []
    answer = shared.post(content, headers)
    assert answer.status_code == status
    assert reason in answer.json()["error"]
    assert (shared.kept() if shared.tables.exists() else []) == before


@contextmanager
def in_this_process(store: RecordStore, limits: Limits) -> Iterator[str]:
    """A collector's address; it runs in a thread."""
    server = uvicorn.Server(
        uvicorn.Config(CollectorService(store, MemoryResults(), limits).application(), log_level="warning")
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def test_a_collector_that_has_too_much_says_when_to_come_again():
    store = MemoryRecords()
    answers: list[httpx.Response] = []
    with in_this_process(store, Limits(waiting_rows=1, gather_seconds=0.3)) as url:

        def post(number: int) -> None:
            content = event(str(number))
            answers.append(httpx.post(url, content=content, headers=STRUCTURED, timeout=PATIENCE_SECONDS))

        threads = [threading.Thread(target=post, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {202, 429}
    assert {answer.headers.get("retry-after") for answer in answers if answer.status_code == 429} == {"1"}
    assert len(store.read("m", date(2000, 1, 1), date(2100, 1, 1))) == statuses[202]


def test_a_collector_that_cannot_write_keeps_its_senders_waiting_until_it_can(tmp_path: Path):
    store = DeltaRecords(str(tmp_path))
    (tmp_path / "records").write_text("in the way")
    with in_this_process(store, Limits()) as url:
        answer = httpx.post(url, content=event("a"), headers=STRUCTURED, timeout=PATIENCE_SECONDS)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        (tmp_path / "records").unlink()
        answer = httpx.post(url, content=event("a"), headers=STRUCTURED, timeout=PATIENCE_SECONDS)
        assert answer.status_code == 202
    assert len(store.read("m", date(2000, 1, 1), date(2100, 1, 1))) == 1


def test_told_to_leave_it_finishes_and_ends_with_0(collectors: Collectors):
    collectors.start()
    answers: list[int] = []
    posting = threading.Thread(target=lambda: answers.append(collectors.post(event("a"), STRUCTURED).status_code))
    posting.start()
    wait_until(
        lambda: "fairlead_collector_waiting_rows 1.0" in httpx.get(f"{collectors.url}/metrics").text or bool(answers)
    )
    assert collectors.end(signal.SIGTERM) == 0
    posting.join()
    assert answers == [202]
    assert collectors.kept() == ["a"]


def test_a_taken_port_is_one_line_and_code_2(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "monitoring.collector", "--tables-uri", str(tmp_path)]
        command += ["--port", str(taken.getsockname()[1])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot listen on 127.0.0.1:")
    assert done.stderr.count("\n") == 1


def test_a_port_that_is_taken_while_the_collector_starts_is_told(tmp_path: Path):
    with listen("127.0.0.1", 0) as ours, listen("127.0.0.1", ours.getsockname()[1]) as other:
        other.listen()
        with pytest.raises(EndpointError, match=r"cannot listen on 127.0.0.1:\d+: Address already in use"):
            run(str(tmp_path), Limits(), ours)


SENDER = """
import os, signal, sys
from pathlib import Path
from fairlead.records.spool import Spool

spool = Spool(Path(sys.argv[1]), max_bytes=1_000_000, when_full="refuse")
for line in sys.stdin.buffer:
    spool.append(line.strip())
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_sender_kept_arrives_after_the_collector_is_back(collectors: Collectors, tmp_path: Path):
    events = b"\n".join(event(f"before {number}") for number in range(50))
    sender = subprocess.run([sys.executable, "-c", SENDER, str(tmp_path / "spool")], input=events, check=False)
    assert sender.returncode == -signal.SIGKILL
    spool = Spool(tmp_path / "spool", max_bytes=1_000_000, when_full="refuse")
    delivering = delivery(spool, collectors.url, tmp_path)
    delivering.start()
    spool.append(event("after"))
    wait_until(lambda: delivering._failures > 2)
    assert spool.depth_events == 51
    collectors.start()
    wait_until(lambda: spool.depth_events == 0)
    delivering.stop(PATIENCE_SECONDS)
    assert collectors.kept() == sorted(["after", *(f"before {number}" for number in range(50))])
    assert delivering.delivered == 51


def test_what_a_killed_collector_acknowledged_is_kept_and_nothing_is_kept_twice(collectors: Collectors, tmp_path: Path):
    collectors.start()
    spool = Spool(tmp_path / "spool", max_bytes=10_000_000, when_full="refuse")
    delivering = delivery(spool, collectors.url, tmp_path)
    delivering.start()
    acknowledged: list[str] = []
    ended = threading.Event()

    spooled: list[str] = []

    def post() -> None:
        with httpx.Client(timeout=PATIENCE_SECONDS) as client:
            while not ended.is_set():
                number = len(spooled)
                spool.append(event(f"spooled {number}"))
                spooled.append(f"spooled {number}")
                with suppress(httpx.TransportError):
                    answer = client.post(collectors.url, content=event(f"posted {number}"), headers=STRUCTURED)
                    if answer.status_code == 202:
                        acknowledged.append(f"posted {number}")
                        continue
                ended.wait(0.02)

    posting = threading.Thread(target=post)
    posting.start()
    wait_until(lambda: len(acknowledged) >= 10)
    collectors.end(signal.SIGKILL)
    collectors.start()
    enough = len(acknowledged) + 10
    wait_until(lambda: len(acknowledged) >= enough)
    ended.set()
    posting.join()
    wait_until(lambda: spool.depth_events == 0)
    delivering.stop(PATIENCE_SECONDS)
    kept = Counter(collectors.kept())
    assert set(kept.values()) == {1}
    assert set(acknowledged) <= set(kept)
    assert set(spooled) <= set(kept)


def test_two_collectors_of_one_table_keep_each_event_once_also_when_one_is_killed(tmp_path: Path):
    first, second = Collectors(tmp_path), Collectors(tmp_path)
    for collectors in (first, second):
        collectors.start()
    batches = [[event(f"{number}") for number in range(start, start + 10)] for start in range(0, 60, 5)]

    def post(collectors: Collectors) -> None:
        for batch in batches:
            with suppress(httpx.TransportError):
                assert collectors.post(b"[" + b",".join(batch) + b"]", BATCH).status_code in (202, 503)

    threads = [threading.Thread(target=post, args=(collectors,)) for collectors in (first, second)]
    for thread in threads:
        thread.start()
    wait_until(lambda: (first.tables / "records" / "m").exists() and len(first.kept()) >= 20)
    second.end(signal.SIGKILL)
    for thread in threads:
        thread.join()
    for batch in batches:  # whatever was refused for a while comes again
        assert first.post(b"[" + b",".join(batch) + b"]", BATCH).status_code == 202
    assert first.kept() == sorted(str(number) for number in range(65))
    first.end(signal.SIGKILL)


class Judge(BaseHTTPRequestHandler):
    """Answers as the test says, and remembers what it took."""

    answers: Callable[[list[dict[str, object]]], int]
    taken: list[str]

    def do_POST(self) -> None:
        events = json.loads(self.rfile.read(int(self.headers["content-length"])))
        status = type(self).answers(events)
        if status == 202:
            type(self).taken.extend(item["id"] for item in events)
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "0")
        self.send_header("content-length", "0")
        self.end_headers()


@pytest.fixture
def judge() -> Iterator[Callable[[Callable[[list[dict[str, object]]], int]], tuple[str, list[str]]]]:
    with ExitStack() as stack:

        def start(answers: Callable[[list[dict[str, object]]], int]) -> tuple[str, list[str]]:
            taken: list[str] = []
            handler = type("Handler", (Judge,), {"answers": staticmethod(answers), "taken": taken})
            return stack.enter_context(answering(handler)), taken

        yield start


def test_an_event_that_is_refused_for_good_is_set_aside_and_blocks_nothing(judge, tmp_path: Path):
    url, taken = judge(lambda events: 400 if any(item["id"] == "7" for item in events) else 202)
    spool = Spool(tmp_path / "spool", max_bytes=1_000_000, when_full="refuse")
    for number in range(20):
        spool.append(event(str(number)))
    delivering = delivery(spool, url, tmp_path / "rejected")
    delivering.start()
    wait_until(lambda: spool.depth_events == 0)
    delivering.stop(PATIENCE_SECONDS)
    assert sorted(taken, key=int) == [str(number) for number in range(20) if number != 7]
    assert (delivering.delivered, delivering.rejected) == (19, 1)
    (line,) = (tmp_path / "rejected" / REJECTED_FILE).read_text().splitlines()
    assert (json.loads(line)["status"], json.loads(line)["event"]["id"]) == (400, "7")


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_an_answer_that_may_change_loses_nothing(judge, tmp_path: Path, status: int):
    statuses = iter([status, status])
    url, taken = judge(lambda events: next(statuses, 202))
    spool = Spool(tmp_path / "spool", max_bytes=1_000_000, when_full="refuse")
    spool.append(event("a"))
    delivering = delivery(spool, url, tmp_path / "rejected")
    delivering.start()
    wait_until(lambda: bool(taken))
    delivering.stop(PATIENCE_SECONDS)
    assert (taken, delivering.delivered, delivering.rejected) == (["a"], 1, 0)


def test_a_stop_delivers_what_waits(judge, tmp_path: Path):
    url, taken = judge(lambda events: 202)
    spool = Spool(tmp_path / "spool", max_bytes=1_000_000, when_full="refuse")
    delivering = delivery(spool, url, tmp_path)
    delivering.start()
    for number in range(100):
        spool.append(event(str(number)))
    delivering.stop(PATIENCE_SECONDS)
    spool.close()
    assert len(taken) == 100
    assert not list((tmp_path / "spool").iterdir())


def test_a_stop_is_bounded_where_nobody_answers_and_the_next_process_delivers(judge, tmp_path: Path):
    url, taken = judge(lambda events: 202)
    spool = Spool(tmp_path / "spool", max_bytes=1_000_000, when_full="refuse")
    spool.append(event("a"))
    stuck = delivery(spool, "http://127.0.0.1:1", tmp_path)
    stuck.start()
    stuck.stop(0.1)
    assert not stuck._thread.is_alive()
    spool.close()
    following = Spool(tmp_path / "spool", max_bytes=1_000_000, when_full="refuse")
    delivering = delivery(following, url, tmp_path)
    delivering.start()
    delivering.stop(PATIENCE_SECONDS)
    assert taken == ["a"]
