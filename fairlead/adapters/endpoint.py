"""A model's endpoint: a small client of the v2 protocol, and a server beside the caller's process."""

import ipaddress
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

import fairlead
from fairlead.errors import EndpointError
from fairlead.lineage.steps import RUNNER_PID
from fairlead.packaging.bundle import load_bundle

READY_LINE = re.compile(r"^serving .* on (http://\S+)\n", re.MULTILINE)
"""What the server says on stderr when it answers."""
ROUTING_LINE = re.compile(r"^routing .* on (http://\S+), metrics on (http://\S+)/metrics\n", re.MULTILINE)
"""What the gateway says."""

TRIES = 4
"""Of a request that is answered with 503, a second apart, as the server's Retry-After has it."""
POLL_SECONDS = 0.05
TERMINATE_SECONDS = 30
GATEWAY_SECONDS = 60.0
LAST_LINES = 5


@dataclass(frozen=True)
class Answer:
    """What a model answered to some rows, in their order."""

    scores: list[float]
    decisions: list[bool]
    milliseconds: float
    """From the call to the whole answer, the client's own work included."""
    id: str
    """The request's own, or the server's choice."""


class Endpoint:
    """A client of one server, over connections that stay open. Close it, or use it in a `with` block."""

    def __init__(self, url: str, timeout_seconds: float = 10.0) -> None:
        self.url = url.rstrip("/")
        # A proxy that the environment names is for the outside.
        self._http = httpx.Client(base_url=self.url, timeout=timeout_seconds, trust_env=not _is_loopback(url))

    def __enter__(self) -> "Endpoint":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def wait_ready(self, model: str, timeout_seconds: float, process: "subprocess.Popen[bytes] | None" = None) -> None:
        """Return once `model` is ready.

        Args:
            model: the model's name.
            timeout_seconds: how long to wait.
            process: the server, where it is a child of this process: when it has ended, waiting ends.

        Raises:
            EndpointError: the time is over, or the process has ended; the message holds the last answer.
        """
        end = time.monotonic() + timeout_seconds
        while (last := self._why_not_ready(model)) is not None:
            if process is not None and process.poll() is not None:
                raise EndpointError(f"{self.url}: the server ended with code {process.returncode}")
            if time.monotonic() > end:
                raise EndpointError(f"{self.url}: {model} must be ready within {timeout_seconds:g} s, but: {last}")
            time.sleep(POLL_SECONDS)

    def _why_not_ready(self, model: str) -> str | None:
        try:
            response = self._http.get(f"/v2/models/{model}/ready")
        except httpx.HTTPError as error:
            return str(error) or type(error).__name__
        return None if response.is_success else f"{response.status_code} {_message(response)}"

    def score(
        self,
        model: str,
        columns: Mapping[str, Sequence[Any]],
        *,
        asked_at: datetime | None = None,
        request_id: str | None = None,
    ) -> Answer:
        """Ask for the scores of some rows.

        Args:
            model: the model's name.
            columns: request columns and entity keys, equally long; None or NaN is missing.
            asked_at: the instant for which features are looked up, with an offset; None: now.
            request_id: comes back with the answer.

        Raises:
            EndpointError: there is no answer, or one that is not 200; the message holds status and reason. 503 is that
                only after `TRIES` tries.
        """
        body: dict[str, Any] = {"inputs": [_tensor(name, values) for name, values in columns.items()]}
        if asked_at is not None:
            body["parameters"] = {"asked_at": asked_at.isoformat()}
        if request_id is not None:
            body["id"] = request_id
        start = time.perf_counter()
        answer: dict[str, Any] = _again(self._infer, model, body)
        milliseconds = (time.perf_counter() - start) * 1000
        outputs = {item["name"]: item["data"] for item in answer["outputs"]}
        return Answer(outputs["score"], outputs["decision"], milliseconds, answer["id"])

    def _infer(self, model: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            response = self._http.post(f"/v2/models/{model}/infer", json=body)
        except httpx.HTTPError as error:
            raise EndpointError(f"{self.url}: {model} did not answer: {error or type(error).__name__}") from None
        if response.status_code != httpx.codes.OK:
            busy = response.status_code == httpx.codes.SERVICE_UNAVAILABLE
            raise (_BusyError if busy else EndpointError)(
                f"{self.url}: {model} answered {response.status_code}: {_message(response)}"
            )
        answer: dict[str, Any] = response.json()
        return answer


class _BusyError(EndpointError):
    """503: the server asks for another try in a second."""


_again = Retrying(
    retry=retry_if_exception_type(_BusyError), stop=stop_after_attempt(TRIES), wait=wait_fixed(1), reraise=True
)


@contextmanager
def serve_in_background(
    bundles: Sequence[Path],
    log: Path,
    *,
    feature_store: str = "feast",
    host: str = "127.0.0.1",
    http_port: int = 0,
    grpc_port: int = 0,
    environ: Mapping[str, str] | None = None,
    ready_within_seconds: float = 120.0,
) -> Iterator[Endpoint]:
    """Serve bundles in a child process for as long as the block runs.

    Args:
        bundles: bundle folders.
        log: file for what the child says; made anew.
        feature_store: `feast` or `none`.
        host: where to listen.
        http_port: 0 takes a free one; the endpoint's `url` tells which.
        grpc_port: 0 turns gRPC off.
        environ: variables for the child, beside this process's own.
        ready_within_seconds: how long the child may take.

    Raises:
        EndpointError: the child ended before it was ready, because its port was taken for one, or took too long, or
            did not end well when told to; the message holds its last lines.
    """
    models = [load_bundle(folder).model for folder in bundles]
    command = [sys.executable, "-P", "-m", "serving", "--host", host, "--feature-store", feature_store]
    command += ["--http-port", str(http_port), "--grpc-port", str(grpc_port)]
    command += [word for folder in bundles for word in ("--bundle", str(folder.resolve()))]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=_environment(environ or {})
        )
    try:
        end = time.monotonic() + ready_within_seconds
        with Endpoint(_wait_for_line(process, log, end, READY_LINE)[1]) as endpoint:
            for model in models:
                endpoint.wait_ready(model, end - time.monotonic(), process)
            yield endpoint
    finally:
        _stop(process)
    if process.returncode != 0:
        raise EndpointError(f"the server ended with code {process.returncode}: {_last_lines(log)}")


@contextmanager
def route_in_background(routes: Path, backends: Mapping[str, str], log: Path) -> Iterator[tuple[str, str]]:
    """Run the local gateway in a child process for as long as the block runs; gives its address, and its metrics'.

    Args:
        routes: the HTTPRoute.
        backends: name of a service → its URL.
        log: file for what the child says; made anew.

    Raises:
        EndpointError: the child ended before it answered; the message holds its last lines.
    """
    command = [
        sys.executable,
        "-P",
        "-m",
        "serving.gateway",
        "--routes",
        str(routes),
        "--port",
        "0",
        "--admin-port",
        "0",
    ]
    command += [word for name, url in backends.items() for word in ("--backend", f"{name}={url}")]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=_environment({})
        )
    try:
        found = _wait_for_line(process, log, time.monotonic() + GATEWAY_SECONDS, ROUTING_LINE)
        yield found[1], found[2]
    finally:
        _stop(process)


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """This process's variables and `environ`; the child imports `serving` from beside this `fairlead`."""
    root = str(Path(fairlead.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, RUNNER_PID: str(os.getpid()), **environ}


def _wait_for_line(process: "subprocess.Popen[bytes]", log: Path, end: float, line: re.Pattern[str]) -> re.Match[str]:
    while True:
        ended = process.poll() is not None
        found = line.search(log.read_text(encoding="utf-8", errors="replace"))
        if found:
            return found
        if ended:
            raise EndpointError(f"the server ended with code {process.returncode}: {_last_lines(log)}")
        if time.monotonic() > end:
            raise EndpointError(f"the server took too long: {_last_lines(log)}")
        time.sleep(POLL_SECONDS)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(TERMINATE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_lines(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "\n".join(lines[-LAST_LINES:]) or "it said nothing"


def _tensor(name: str, values: Sequence[Any]) -> dict[str, Any]:
    """A v2 tensor; its datatype follows the values that are there."""
    data = [_plain(value) for value in values]
    kinds = {type(value) for value in data if value is not None}
    if kinds <= {str}:
        datatype = "BYTES"
    elif kinds <= {bool}:
        datatype = "BOOL"
    else:
        datatype = "INT64" if kinds <= {int} else "FP64"
    return {"name": name, "shape": [len(data)], "datatype": datatype, "data": data}


def _plain(value: Any) -> Any:
    """A value as JSON has it: NumPy's scalars as Python's, NaN as null."""
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and math.isnan(plain) else plain


def _message(response: httpx.Response) -> str:
    """The reason in a body, or the body's beginning."""
    try:
        return str(response.json()["error"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        return response.text[:200]


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
