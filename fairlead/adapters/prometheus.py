"""Counters of servers as Prometheus has scraped them, by its HTTP API."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import httpx
from pydantic import SecretStr

from fairlead import metrics as catalogue
from fairlead.errors import CountsError, CountsMissingError
from fairlead.rollout.counters import Snapshot, Tally
from fairlead.rollout.release import Release

TIMEOUT_SECONDS = 20.0
ARM_LABEL = "fairlead_dev_arm"
"""The pods' label `fairlead.dev/arm`, as the PodMonitor hands it on."""
SERVER_ERROR = 500

Series = tuple[Mapping[str, str], list[tuple[int, float]]]
"""Labels, and values by the number of the step."""


class PrometheusCounters:
    """`ReleaseCounters` of servers that Prometheus scrapes. A server is an `instance`, an arm is a version."""

    def __init__(self, url: str, selector: str = "", token: SecretStr | None = None) -> None:
        """Nothing is done yet.

        Args:
            url: of the server, without `/api/v1`.
            selector: matchers of every query, to tell environments apart: `namespace="fairlead-dev"`.
            token: sent as a bearer token.
        """
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        self._url = url.rstrip("/")
        self._selector = selector
        self._http = httpx.Client(base_url=f"{self._url}/api/v1", headers=headers, timeout=TIMEOUT_SECONDS)

    @property
    def bounds(self) -> Sequence[float]:
        """Those that our servers count by."""
        return catalogue.LATENCY_SECONDS

    def require(self, model: str) -> None:
        """Return if servers of the model are scraped, and emit what is read.

        Raises:
            CountsMissingError: they are not; the message names the metric and what was asked.
            CountsError: Prometheus does not answer.
        """
        info = f"{catalogue.MODEL_INFO.name}{self._where({'model': model})}"
        if not self._now(f"count({info})"):
            raise CountsMissingError(
                f"Prometheus at {self._url} must know a server of {model}, but has no {info}: is it scraped, with "
                f"these labels?"
            )
        for metric in (catalogue.REQUESTS.name, catalogue.REQUEST_SECONDS.name):
            if not self._get("metadata", metric=metric):
                raise CountsMissingError(
                    f"Prometheus at {self._url} must know {metric}, but no server that it scrapes has it: they are of "
                    f"another version, or it is dropped, or none has answered a request yet"
                )

    def snapshots(self, release: Release, start: datetime, end: datetime, seconds: float) -> list[Snapshot]:
        """One at `start` and at each step of `seconds` up to `end`."""
        steps = int((end - start).total_seconds() // seconds) + 1
        if steps < 1:
            return []
        found: list[dict[str, dict[str, Tally]]] = [{"stable": {}, "candidate": {}} for _ in range(steps)]
        for arm, number, server, tally in self._tallies(release, start, start + (steps - 1) * _s(seconds), seconds):
            found[number][arm][server] = tally
        return [Snapshot(start + number * _s(seconds), **arms) for number, arms in enumerate(found)]

    def answering(self, release: Release) -> Mapping[str, str]:
        """By the label of the arm that pods have."""
        where = self._where({"model": release.model, ARM_LABEL: "stable"})
        versions: dict[str, list[str]] = defaultdict(list)
        for labels, _ in self._now(f"max by (instance, version) ({catalogue.MODEL_INFO.name}{where}) > 0"):
            versions[labels["instance"]].append(labels["version"])
        return {server: ", ".join(sorted(found)) for server, found in versions.items()}

    def _tallies(
        self, release: Release, start: datetime, end: datetime, seconds: float
    ) -> Iterator[tuple[str, int, str, Tally]]:
        requests: dict[tuple[str, int, str], list[int]] = defaultdict(lambda: [0, 0])
        below: dict[tuple[str, int, str], list[int]] = defaultdict(lambda: [0] * (len(self.bounds) + 1))
        places = {bound: index for index, bound in enumerate((*self.bounds, float("inf")))}
        asked = (start, end, seconds)
        for arm, traffic in (
            ("stable", "live"),
            ("candidate", "live|mirrored" if release.stage == "shadow" else "live"),
        ):
            where = self._arm(release, arm, traffic)
            for labels, values in self._range(_summed(catalogue.REQUESTS.name, where, "status"), *asked):
                error = int(labels["status"]) >= SERVER_ERROR
                for number, value in values:
                    counts = requests[arm, number, labels["instance"]]
                    counts[0] += int(value)
                    counts[1] += int(value) if error else 0
            for labels, values in self._range(_summed(f"{catalogue.REQUEST_SECONDS.name}_bucket", where, "le"), *asked):
                place = places.get(float(labels["le"]))
                for number, value in values if place is not None else ():
                    below[arm, number, labels["instance"]][place or 0] += int(value)
            for labels, values in self._range(self._refused(release, arm), *asked):
                for number, value in values:
                    counts = requests[arm, number, labels["instance"]]
                    counts[0] += int(value)
                    counts[1] += int(value)
        for (arm, number, server), counts in requests.items():
            yield arm, number, server, Tally(counts[0], counts[1], tuple(below[arm, number, server]))

    def _refused(self, release: Release, arm: str) -> str:
        """What a server refused before it knew the model, for want of room: an error, of the version it serves."""
        refused = f"{catalogue.REJECTED.name}{self._where({'reason': 'overload'})}"
        info = f"{catalogue.MODEL_INFO.name}{self._where({'model': release.model, 'version': _version(release, arm)})}"
        return f"sum by (instance) ({refused}) * on (instance) group_right () max by (instance, version) ({info})"

    def _arm(self, release: Release, arm: str, traffic: str) -> str:
        names = f"{re.escape(release.model)}(-vector)?"
        return self._where({"version": _version(release, arm)}, {"model": names, "traffic": traffic})

    def _where(self, equal: Mapping[str, str], like: Mapping[str, str] | None = None) -> str:
        exact = [f"{name}={json.dumps(value)}" for name, value in equal.items()]
        patterns = [f"{name}=~{json.dumps(value)}" for name, value in (like or {}).items()]
        return "{" + ",".join(filter(None, [self._selector, *exact, *patterns])) + "}"

    def _range(self, query: str, start: datetime, end: datetime, seconds: float) -> Iterator[Series]:
        asked = {"query": query, "start": f"{start.timestamp():.3f}", "end": f"{end.timestamp():.3f}"}
        first = start.timestamp()
        for series in self._get("query_range", **asked, step=f"{seconds:g}")["result"]:
            yield series["metric"], [(round((at - first) / seconds), float(value)) for at, value in series["values"]]

    def _now(self, query: str) -> list[tuple[Mapping[str, str], float]]:
        return [(one["metric"], float(one["value"][1])) for one in self._get("query", query=query)["result"]]

    def _get(self, path: str, **asked: str) -> Any:
        try:
            answer = self._http.post(path, data=asked) if "query" in asked else self._http.get(path, params=asked)
            content = answer.json()
        except httpx.HTTPError as error:
            raise CountsError(f"Prometheus at {self._url} does not answer: {error or type(error).__name__}") from None
        except ValueError:
            raise CountsError(
                f"{self._url} must be Prometheus, but answered {answer.status_code} {answer.text[:80]!r}"
            ) from None
        if content.get("status") != "success":
            raise CountsError(f"Prometheus at {self._url}: {content.get('error')} (asked {asked.get('query', path)})")
        return content["data"]


def _version(release: Release, arm: str) -> str:
    return release.stable if arm == "stable" else str(release.candidate)


def _summed(name: str, where: str, by: str) -> str:
    return f"sum by (instance, {by}) ({name}{where})"


def _s(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)
