"""What an operator sees of a server: readiness, logs, traces, and an end without a lost request."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.http_server import answering
from tests.local.test_serving import write
from tests.local.test_workers import INSTANCE, serving

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector(BaseHTTPRequestHandler):
    """Takes traces as an OpenTelemetry collector does."""

    spans: list[dict[str, object]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.spans += [{"trace": span.trace_id.hex(), "name": span.name} for span in scope.spans]
        self.send_response(200)
        self.end_headers()


@pytest.fixture
def collector() -> Iterator[str]:
    Collector.spans = []
    with answering(Collector) as url:
        yield url


def test_spans_go_to_the_collector_that_the_environment_names_and_belong_to_the_callers_trace(
    collector: str, tmp_path: Path
) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector}
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    vector = {"instances": [[1, 2]]}
    with serving(tmp_path / "log", "--bundle", str(write(tmp_path / "bundle")), environ=environ) as server:
        path = "/v1/models/flight-delay-vector:predict"
        assert server.call("POST", path, json=vector, headers=headers).status_code == 200
        assert server.call("POST", path, json={}, headers=headers).status_code == 400
    assert [span["trace"] for span in Collector.spans] == [TRACE, TRACE]


def test_the_log_is_json_in_the_words_of_ecs_and_never_quotes_a_value(tmp_path: Path) -> None:
    words = ["--bundle", str(write(tmp_path / "bundle")), "--log-format", "json", "--access-log", "all"]
    with serving(tmp_path / "log", *words) as server:
        assert server.predict().status_code == 200
        wrong = {"instances": [{**INSTANCE, "distance": "secret"}]}
        assert server.call("POST", "/v1/models/flight-delay:predict", json=wrong).status_code == 400
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if line.startswith("{")]
    assert [line["http.response.status_code"] for line in lines] == [200, 400]
    assert {"@timestamp", "log.level", "message", "ecs.version", "event.duration"} <= lines[0].keys()
    assert lines[0]["http.request.id"]
    assert "secret" not in (tmp_path / "log").read_text()


def test_a_server_that_was_told_to_leave_says_so_and_answers_until_it_does(tmp_path: Path) -> None:
    words = ["--bundle", str(write(tmp_path / "bundle")), "--drain-seconds", "2"]
    with serving(tmp_path / "log", *words) as server:
        with httpx.Client(base_url=server.url, trust_env=False) as client:
            assert client.get("/v2/health/ready").status_code == 200
            server.process.send_signal(signal.SIGTERM)
            while client.get("/v2/health/ready").status_code == 200:
                time.sleep(0.05)
            assert client.get("/v2/health/live").status_code == 200
            body = {"instances": [INSTANCE]}
            assert client.post("/v1/models/flight-delay:predict", json=body).status_code == 200
        assert server.process.wait(30) == 0


def test_requests_at_hand_are_answered_before_a_server_leaves(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--bundle", str(write(tmp_path / "bundle"))) as server:
        statuses: list[int] = []
        rows = {"instances": [INSTANCE] * 20_000}

        def ask() -> None:
            statuses.append(server.call("POST", "/v1/models/flight-delay:predict", json=rows).status_code)

        asking = [threading.Thread(target=ask) for _ in range(4)]
        for thread in asking:
            thread.start()
        while "fairlead_requests_in_flight 0.0" in server.call("GET", "/metrics").text and not statuses:
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        for thread in asking:
            thread.join()
        assert set(statuses) <= {200}
        assert server.process.wait(30) == 0
