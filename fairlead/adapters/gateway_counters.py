"""Counters of the local gateway, by its admin port; it keeps no past, so that a log on this disk does."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from fairlead import metrics as catalogue
from fairlead.errors import CountsError, CountsMissingError
from fairlead.files import write_whole
from fairlead.rollout.counters import Snapshot, Tally
from fairlead.rollout.release import Release
from fairlead.rollout.serve import service_name

TIMEOUT_SECONDS = 5.0
LARGEST_LOG_BYTES = 4 << 20
SERVER_ERROR = 500
NOT_SENT = {"too_large", "incomplete", "dropped"}
"""Copies that the candidate never saw."""

Read = dict[str, dict[str, Any]]
"""`requests` and `copies`: service → its tally as JSON."""


class GatewayCounters:
    """`ReleaseCounters` of a gateway on this machine. All servers behind a service count as one, named by it."""

    def __init__(self, admin_url: str, log: Path, services: Mapping[str, str] | None = None) -> None:
        """Nothing is done yet.

        Args:
            admin_url: where the gateway has `/metrics`.
            log: a file for what was read; made if it is missing, halved when it is large, and no more than a cache of
                what the gateway counted: without it evidence begins anew.
            services: name of a service → its URL, for `answering`.
        """
        self._url = admin_url.rstrip("/")
        self._log = log
        self._services = services or {}
        self._http = httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False)

    @property
    def bounds(self) -> Sequence[float]:
        """Those that the gateway counts by."""
        return catalogue.LATENCY_SECONDS

    def require(self, model: str) -> None:
        """Return if the gateway answers and counts under our names, whatever it has counted yet."""
        known = {family.name for family in text_string_to_metric_families(self._ask())}
        for metric in _READ:
            if metric.name.removesuffix("_total") not in known:
                raise CountsMissingError(
                    f"{self._url}/metrics must have {metric.name}, but has not: is it the gateway's?"
                )

    def look(self) -> None:
        """Read the counters now, and keep them."""
        entry = {"at": datetime.now(UTC).isoformat(), **_read(self._ask())}
        line = json.dumps(entry, separators=(",", ":")) + "\n"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a", encoding="utf-8") as file:
            file.write(line)
        if self._log.stat().st_size > LARGEST_LOG_BYTES:
            self._halve()

    def snapshots(self, release: Release, start: datetime, end: datetime, seconds: float) -> list[Snapshot]:
        """Those that were kept, and one of now; `seconds` is as often as it was called."""
        self.look()
        arms = {arm: service_name(release.model, arm) for arm in ("stable", "candidate")}
        copies = "copies" if release.stage == "shadow" else "requests"
        found = []
        for entry in _in_order(self._entries()):
            at = datetime.fromisoformat(entry["at"])
            if start <= at <= end + timedelta(seconds=1):
                stable, candidate = entry["requests"].get(arms["stable"]), entry[copies].get(arms["candidate"])
                found.append(Snapshot(at, _tallies(arms["stable"], stable), _tallies(arms["candidate"], candidate)))
        return found

    def answering(self, release: Release) -> Mapping[str, str]:
        """Ask the stable service itself."""
        name = service_name(release.model, "stable")
        if name not in self._services:
            raise CountsError(f"where the service {name} is must be told: --backend {name}=http://HOST:PORT")
        url = f"{self._services[name].rstrip('/')}/v2/models/{release.model}"
        try:
            answer = self._http.get(url)
            answer.raise_for_status()
            return {name: ", ".join(answer.json()["versions"])}
        except httpx.HTTPError:
            return {}  # it does not answer yet
        except (ValueError, KeyError):
            raise CountsError(f"{url} must tell the model's versions, but answered {answer.text[:80]!r}") from None

    def _ask(self) -> str:
        try:
            answer = self._http.get(f"{self._url}/metrics")
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise CountsError(f"the gateway at {self._url} does not answer: {error or type(error).__name__}") from None
        return answer.text

    def _entries(self) -> list[dict[str, Any]]:
        lines = self._log.read_text(encoding="utf-8").splitlines()
        try:
            return [json.loads(line) for line in lines]
        except ValueError as error:
            raise CountsError(f"{self._log} is damaged ({error}); remove it: evidence begins anew") from None

    def _halve(self) -> None:
        lines = self._log.read_text(encoding="utf-8").splitlines(keepends=True)
        write_whole(self._log, "".join(lines[len(lines) // 2 :]))


_READ = (
    catalogue.GATEWAY_REQUESTS,
    catalogue.GATEWAY_SECONDS,
    catalogue.GATEWAY_MIRRORED,
    catalogue.GATEWAY_MIRRORED_SECONDS,
)


def _read(text: str) -> Read:
    tallies: dict[tuple[str, str], dict[str, Any]] = {}
    bounds = (*catalogue.LATENCY_SECONDS, float("inf"))
    kinds = {
        catalogue.GATEWAY_REQUESTS.name: "requests",
        f"{catalogue.GATEWAY_SECONDS.name}_bucket": "requests",
        catalogue.GATEWAY_MIRRORED.name: "copies",
        f"{catalogue.GATEWAY_MIRRORED_SECONDS.name}_bucket": "copies",
    }
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    for sample in samples:
        kind = kinds.get(sample.name)
        if kind is None or not sample.labels["backend"]:
            continue
        empty = {"requests": 0, "errors": 0, "below": [0] * len(bounds)}
        tally = tallies.setdefault((kind, sample.labels["backend"]), empty)
        if "le" in sample.labels:
            tally["below"][bounds.index(float(sample.labels["le"]))] = int(sample.value)
        elif (status := sample.labels["status"]) not in NOT_SENT:
            tally["requests"] += int(sample.value)
            tally["errors"] += int(sample.value) if int(status) >= SERVER_ERROR else 0
    result: Read = {"requests": {}, "copies": {}}
    for (kind, backend), tally in tallies.items():
        result[kind][backend] = tally
    return result


def _in_order(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what was read before a clock was set back to an earlier time: the newest entries count."""
    kept: list[dict[str, Any]] = []
    for entry in entries:
        while kept and kept[-1]["at"] >= entry["at"]:
            kept.pop()
        kept.append(entry)
    return kept


def _tallies(name: str, found: Mapping[str, Any] | None) -> dict[str, Tally]:
    return {name: Tally(found["requests"], found["errors"], tuple(found["below"]))} if found else {}
