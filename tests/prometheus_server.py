"""A Prometheus and an Alertmanager beside the tests: Debian's packages, on loopback, with everything a second apart."""

import json
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

HOST = "127.0.0.1"
START_SECONDS = 30
STOP_SECONDS = 10
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Target:
    """Something to be scraped."""

    address: str
    """`host:port`."""
    job: str = "fairlead"
    labels: Mapping[str, str] | None = None
    """Added to every series, such as `namespace`."""
    path: str = "/metrics"


@dataclass(frozen=True)
class Prometheus:
    """A server that runs."""

    url: str
    folder: Path
    process: "subprocess.Popen[bytes]"

    def ask(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of the HTTP API: `ask("query", query="up")`."""
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            return json.load(answer)["data"]

    def values(self, query: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series of an instant query, now."""
        return [(one["metric"], float(one["value"][1])) for one in self.ask("query", query=query)["result"]]

    def wait_for(self, query: str, seconds: float = START_SECONDS) -> list[tuple[dict[str, str], float]]:
        """The values of a query, as soon as it has any.

        Raises:
            TimeoutError: it had none within `seconds`.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := self.values(query):
                return found
            time.sleep(POLL_SECONDS)
        raise TimeoutError(f"{query} must have a value within {seconds} s; see {self.folder / 'prometheus.log'}")


@contextmanager
def prometheus_server(
    folder: Path,
    targets: Sequence[Target] = (),
    *,
    rules: Sequence[Path] = (),
    alertmanager: str | None = None,
    scrape_seconds: float = 1,
    options: Sequence[str] = (),
) -> Iterator[Prometheus]:
    """Run a server that scrapes `targets` and evaluates `rules`; what it keeps is in `folder`.

    Args:
        folder: exists; its own.
        targets: what is scraped from the start.
        rules: rule files in Prometheus' own form.
        alertmanager: `host:port` of one to send alerts to.
        scrape_seconds: between two scrapes, and two evaluations.
        options: further flags of `prometheus`.

    Raises:
        RuntimeError: there is no `prometheus` on the PATH, or it does not become ready; the message ends with its log.
    """
    port = _free_port()
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(_config(targets, rules, alertmanager, scrape_seconds)))
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={HOST}:{port}",
        *options,
    ]
    with (folder / "prometheus.log").open("ab") as log:
        try:
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        except FileNotFoundError:
            raise RuntimeError("prometheus must be on the PATH; Debian's package is prometheus") from None
    found = Prometheus(f"http://{HOST}:{port}", folder, process)
    try:
        _wait(found.url, process, folder / "prometheus.log")
        yield found
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


Alert = dict[str, Any]
"""As Alertmanager sends it: `labels`, `annotations`, `status`, `startsAt`, `fingerprint` …"""


class Inbox:
    """What a webhook has received; all of it, and by alert what was told last."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self._lock = threading.Lock()

    def put(self, alerts: Sequence[Alert]) -> None:
        """Take one delivery."""
        with self._lock:
            self.alerts += alerts

    def now(self, status: str) -> dict[str, Alert]:
        """The alerts of which the last word was `firing` or `resolved`: one of each name."""
        with self._lock:
            last = {alert["fingerprint"]: alert for alert in self.alerts}
        return {alert["labels"]["alertname"]: alert for alert in last.values() if alert["status"] == status}


@contextmanager
def webhook() -> Iterator[tuple[str, Inbox]]:
    """A receiver on loopback: its address, and what it has received."""
    inbox = Inbox()

    class Desk(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            inbox.put(json.loads(self.rfile.read(int(self.headers["content-length"])))["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((HOST, 0), Desk)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}", inbox
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def alertmanager_server(folder: Path, receiver: str) -> Iterator[str]:
    """Run an Alertmanager that tells `receiver` of each alert and of its end; yields its `host:port`.

    Args:
        folder: exists; its own.
        receiver: address of a webhook.

    Raises:
        RuntimeError: there is no `prometheus-alertmanager` on the PATH, or it does not become ready.
    """
    port = _free_port()
    route = {"receiver": "webhook", "group_by": ["..."], "group_wait": "100ms", "group_interval": "500ms"}
    config = {"route": route, "receivers": [{"name": "webhook", "webhook_configs": [{"url": receiver}]}]}
    (folder / "alertmanager.yaml").write_text(yaml.safe_dump(config))
    command = [
        "prometheus-alertmanager",
        f"--config.file={folder / 'alertmanager.yaml'}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={HOST}:{port}",
        "--cluster.listen-address=",
    ]
    with (folder / "alertmanager.log").open("ab") as log:
        try:
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        except FileNotFoundError:
            raise RuntimeError(
                "prometheus-alertmanager must be on the PATH; Debian's package is prometheus-alertmanager"
            ) from None
    try:
        _wait(f"http://{HOST}:{port}", process, folder / "alertmanager.log")
        yield f"{HOST}:{port}"
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def _config(
    targets: Sequence[Target], rules: Sequence[Path], alertmanager: str | None, scrape_seconds: float
) -> dict[str, Any]:
    every = f"{int(scrape_seconds * 1000)}ms"
    jobs: dict[tuple[str, str], list[Target]] = {}
    for target in targets:
        jobs.setdefault((target.job, target.path), []).append(target)
    config: dict[str, Any] = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(path.resolve()) for path in rules],
        "scrape_configs": [
            {
                "job_name": job,
                "metrics_path": path,
                "static_configs": [{"targets": [one.address], "labels": dict(one.labels or {})} for one in several],
            }
            for (job, path), several in jobs.items()
        ],
    }
    if alertmanager is not None:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    return config


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(POLL_SECONDS)
    told = log.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"a server must be ready at {url} within {START_SECONDS} s, but was not:\n{told}")
