"""What a real Prometheus makes of what our processes emit."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, start_http_server

from fairlead import metrics as catalogue
from tests.prometheus_server import Prometheus, Target, prometheus_server

pytestmark = pytest.mark.prometheus


@pytest.fixture
def emitting() -> Iterator[tuple[str, Counter]]:
    """The address of a process with one request counted, and the counter."""
    registry = CollectorRegistry()
    metric = catalogue.REQUESTS
    counter = Counter(metric.name, metric.help, metric.labels, registry=registry)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    yield f"127.0.0.1:{server.server_port}", counter
    server.shutdown()
    server.server_close()
    assert isinstance(thread, threading.Thread)
    thread.join(5)


@pytest.fixture
def prometheus(emitting: tuple[str, Counter], tmp_path: Path) -> Iterator[Prometheus]:
    with prometheus_server(tmp_path, [Target(emitting[0], labels={"namespace": "fairlead-dev"})]) as server:
        yield server


def test_a_counter_is_scraped_under_its_name_with_the_labels_of_its_target(emitting, prometheus):
    emitting[1].labels("flight-delay", "3", "v2", "200", "live").inc(7)
    [(labels, value)] = prometheus.wait_for('fairlead_requests_total{namespace="fairlead-dev"} == 7')
    assert value == 7
    assert {name: labels[name] for name in catalogue.REQUESTS.labels} == {
        "model": "flight-delay", "version": "3", "protocol": "v2", "status": "200", "traffic": "live"
    }  # fmt: skip
