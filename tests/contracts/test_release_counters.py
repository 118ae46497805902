"""Counters that releases are judged by: in memory, of the local gateway, and from a real Prometheus."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from fairlead import metrics as catalogue
from fairlead.adapters.gateway_counters import GatewayCounters
from fairlead.adapters.memory_counters import MemoryCounters, MemoryServer
from fairlead.adapters.prometheus import PrometheusCounters
from fairlead.errors import CountsError, CountsMissingError
from fairlead.ports import ReleaseCounters
from fairlead.rollout.counters import windows_of
from fairlead.rollout.release import Gate, Release
from fairlead.rollout.windows import Counts
from serving.gateway.counters import Counters
from tests.prometheus_server import Target, prometheus_server

MODEL = "flight-delay"
NOW = datetime.now(UTC)
SLOW_SECONDS = 0.05
PLACE = catalogue.LATENCY_SECONDS.index(SLOW_SECONDS)
CANARY = Release(
    model=MODEL, stage="canary", stable="3", candidate="4", weight=5, gate=Gate(version="4", run="r"),
    started=NOW, traffic_since=NOW, since=NOW,
)  # fmt: skip
SHADOW = CANARY.model_copy(update={"stage": "shadow", "weight": 0, "mirror": 100, "traffic_since": None})


class World(Protocol):
    """Servers that count, and what reads them."""

    counters: ReleaseCounters
    step: float

    def answer(self, arm: str, status: int, seconds: float, times: int) -> None: ...
    def settle(self) -> None: ...
    def restart(self, arm: str) -> None: ...
    def leave(self) -> None: ...


class Exposition(ThreadingHTTPServer):
    """Answers /metrics with a text, and /v2/models/… with a version."""

    daemon_threads = True

    def __init__(self, text: Callable[[], bytes], version: str = "3") -> None:
        outer = self
        self.text, self.version = text, version

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = outer.text() if self.path == "/metrics" else b'{"versions": ["%s"]}' % outer.version.encode()
                self.send_response(200)
                self.send_header("content-type", "text/plain; version=0.0.4")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class InMemory:
    step = 1.0

    def __init__(self) -> None:
        self.counters = MemoryCounters()
        for arm, version in (("stable", "3"), ("candidate", "4"), ("copies", "4")):
            self.counters.servers[arm] = MemoryServer(arm, version)

    def answer(self, arm: str, status: int, seconds: float, times: int) -> None:
        self.counters.servers[arm].answer(status, seconds, times)

    def settle(self) -> None:
        self.counters.keep(datetime.now(UTC))

    def restart(self, arm: str) -> None:
        self.counters.servers[arm].restart()

    def leave(self) -> None:
        self.counters.away = True


class OfTheGateway:
    step = 1.0

    def __init__(self, folder: Path) -> None:
        self.gateway = Counters()
        self.server = Exposition(lambda: self.gateway.text())
        services = {f"{MODEL}-stable": f"http://{self.server.address}"}
        self.counters = GatewayCounters(f"http://{self.server.address}", folder / "log.jsonl", services)

    def answer(self, arm: str, status: int, seconds: float, times: int) -> None:
        for _ in range(times):
            if arm == "copies":
                self.gateway.mirrored.labels(f"{MODEL}-candidate", str(status)).inc()
                self.gateway.mirrored_seconds.labels(f"{MODEL}-candidate").observe(seconds)
            else:
                self.gateway.finished(f"{MODEL}-{arm}", status, seconds)

    def settle(self) -> None:
        self.counters.look()

    def restart(self, arm: str) -> None:
        self.gateway = Counters()

    def leave(self) -> None:
        self.server.stop()


@dataclass
class ModelServer:
    """What one of our servers has at /metrics."""

    version: str
    traffic: str

    def __post_init__(self) -> None:
        self.start()
        self.server = Exposition(lambda: generate_latest(self.registry))

    def start(self) -> None:
        self.registry = CollectorRegistry()
        kinds = {"counter": Counter, "gauge": Gauge}
        self.metrics = {}
        for metric in (catalogue.REQUESTS, catalogue.MODEL_INFO, catalogue.REJECTED):
            kind = kinds[metric.kind]
            self.metrics[metric.name] = kind(metric.name, metric.help, metric.labels, registry=self.registry)
        seconds = catalogue.REQUEST_SECONDS
        self.seconds = Histogram(
            seconds.name, seconds.help, seconds.labels, registry=self.registry, buckets=catalogue.LATENCY_SECONDS
        )
        self.metrics[catalogue.MODEL_INFO.name].labels(MODEL, self.version, "d", "lightgbm", "2013-04-01").set(1)

    def answer(self, status: int, seconds: float, times: int) -> None:
        requests = self.metrics[catalogue.REQUESTS.name]
        requests.labels(MODEL, self.version, "v2", str(status), self.traffic).inc(times)
        for _ in range(times):
            self.seconds.labels(MODEL, self.version, self.traffic).observe(seconds)


class OfPrometheus:
    step = 0.5

    def __init__(self, folder: Path) -> None:
        arms = {"stable": ("3", "live"), "candidate": ("4", "live"), "copies": ("4", "mirrored")}
        self.servers = {arm: ModelServer(version, traffic) for arm, (version, traffic) in arms.items()}
        targets = [
            Target(one.server.address, labels={"namespace": "fairlead-dev", "fairlead_dev_arm": arm})
            for arm, one in self.servers.items()
        ]
        self._running = prometheus_server(folder, targets, scrape_seconds=0.5)
        self.prometheus = self._running.__enter__()
        self.counters = PrometheusCounters(self.prometheus.url, 'namespace="fairlead-dev"')
        self.prometheus.wait_for("count(fairlead_model_info) == 3")

    def answer(self, arm: str, status: int, seconds: float, times: int) -> None:
        self.servers[arm].answer(status, seconds, times)

    def settle(self) -> None:
        time.sleep(1.2)

    def restart(self, arm: str) -> None:
        self.servers[arm].start()

    def leave(self) -> None:
        self._running.__exit__(None, None, None)

    def close(self) -> None:
        if self.prometheus.process.poll() is None:
            self.leave()
        for one in self.servers.values():
            one.server.stop()


@pytest.fixture(params=["memory", "gateway", pytest.param("prometheus", marks=pytest.mark.prometheus)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "memory":
        yield InMemory()
    elif request.param == "gateway":
        yield OfTheGateway(tmp_path)
    else:
        found = OfPrometheus(tmp_path)
        yield found
        found.close()


def first(world: World) -> datetime:
    """Every series has begun, and a moment is kept from which the rest counts."""
    for arm in ("stable", "candidate", "copies"):
        world.answer(arm, 200, 0.004, 2)
    world.settle()
    start = datetime.now(UTC)
    world.settle()
    return start


def counted(world: World, release: Release, start: datetime) -> tuple[Counts, Counts]:
    found = world.counters.snapshots(release, start, datetime.now(UTC), world.step)
    windows = windows_of(found, PLACE)
    return sum((w.stable for w in windows), Counts()), sum((w.candidate for w in windows), Counts())


def test_requests_errors_and_slow_answers_are_counted_by_arm(world):
    start = first(world)
    world.answer("stable", 200, 0.004, 20)
    world.answer("stable", 503, 0.004, 2)
    world.answer("candidate", 200, 0.2, 5)
    world.answer("candidate", 400, 0.004, 3)
    world.answer("copies", 500, 0.004, 7)
    world.settle()
    assert counted(world, CANARY, start) == (Counts(22, 2, 0), Counts(8, 0, 5))


def test_in_the_shadow_the_candidates_are_those_of_copies(world):
    start = first(world)
    world.answer("stable", 200, 0.004, 10)
    world.answer("copies", 500, 0.2, 7)
    world.settle()
    assert counted(world, SHADOW, start) == (Counts(10, 0, 0), Counts(7, 7, 7))


def test_a_restart_counts_from_nothing(world):
    start = first(world)
    world.answer("stable", 200, 0.004, 20)
    world.settle()
    world.restart("stable")
    world.answer("stable", 200, 0.004, 3)
    world.settle()
    assert counted(world, CANARY, start)[0] == Counts(23, 0, 0)


def test_stable_tells_the_version_that_it_answers_with(world):
    first(world)
    assert set(world.counters.answering(CANARY).values()) == {"3"}


def test_metrics_that_are_there_are_enough(world):
    first(world)
    world.counters.require(MODEL)


def test_what_cannot_be_reached_is_an_error(world):
    first(world)
    world.leave()
    for ask in (lambda: world.counters.require(MODEL), lambda: counted(world, CANARY, NOW)):
        with pytest.raises(CountsError):
            ask()


@pytest.mark.prometheus
def test_prometheus_without_our_metrics_is_told_by_the_name_that_is_missing(tmp_path):
    with prometheus_server(tmp_path) as server:
        with pytest.raises(CountsMissingError, match=r"fairlead_model_info\{namespace=\"x\",model=\"flight-delay\"\}"):
            PrometheusCounters(server.url, 'namespace="x"').require(MODEL)
        with pytest.raises(CountsError, match="parse error"):
            PrometheusCounters(server.url, "nonsense=").require(MODEL)


@pytest.mark.prometheus
def test_what_a_server_refused_for_want_of_room_is_an_error_of_its_version(tmp_path):
    world = OfPrometheus(tmp_path)
    try:
        start = first(world)
        world.servers["candidate"].metrics[catalogue.REJECTED.name].labels("overload").inc(4)
        world.servers["candidate"].metrics[catalogue.REJECTED.name].labels("too_large").inc(9)
        world.settle()
        assert counted(world, CANARY, start)[1] == Counts(4, 4, 0)
    finally:
        world.close()


def test_a_gateway_that_is_none_is_told(tmp_path):
    server = Exposition(lambda: b"# HELP other_total x\n# TYPE other_total counter\nother_total 1\n")
    with pytest.raises(CountsMissingError, match="fairlead_gateway_requests_total"):
        GatewayCounters(f"http://{server.address}", tmp_path / "log").require(MODEL)
    server.stop()


def test_the_gateways_log_goes_on_from_the_time_a_clock_was_set_back_to(tmp_path):
    world = OfTheGateway(tmp_path)
    first(world)
    ahead = (datetime.now(UTC) + timedelta(hours=5)).isoformat()
    log = tmp_path / "log.jsonl"
    log.write_text(log.read_text().replace('"at":"2', f'"at":"{ahead}","was":"2'))
    found = world.counters.snapshots(CANARY, datetime.now(UTC) - timedelta(minutes=1), datetime.now(UTC), 1)
    assert len(found) == 1
    world.leave()
