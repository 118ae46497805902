"""The server's metrics, as prometheus-client objects over the catalogue of names."""

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from prometheus_client import REGISTRY as OWN
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from fairlead import metrics as catalogue
from fairlead.metrics import LATENCY_SECONDS, Metric

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Set before prometheus-client is imported: several processes keep their counts in this folder."""


def _make(metric: Metric) -> Any:
    if metric.kind == "counter":
        return Counter(metric.name, metric.help, metric.labels)
    if metric.kind == "gauge":
        return Gauge(metric.name, metric.help, metric.labels, multiprocess_mode="livesum")
    return Histogram(metric.name, metric.help, metric.labels, buckets=LATENCY_SECONDS)


_METRICS: Mapping[str, Any] = {metric.name: _make(metric) for metric in catalogue.SERVER}


def metric(definition: Metric) -> Any:
    """The prometheus-client object of a definition of the catalogue."""
    return _METRICS[definition.name]


class Observed:
    """What is counted for one model: children resolved once, since `labels()` costs more than counting (10 µs to 1)."""

    def __init__(self, model: str, version: str, traffic: str) -> None:
        self._labels = (model, version, traffic)
        self._seconds = metric(catalogue.REQUEST_SECONDS).labels(*self._labels).observe
        self._rows = metric(catalogue.PREDICTIONS).labels(*self._labels).inc
        self._by_status: dict[tuple[str, int], Any] = {}

    def answered(self, protocol: str, status: int, seconds: float, rows: int) -> None:
        """Count one request and its answer."""
        count = self._by_status.get((protocol, status)) or self._resolve(protocol, status)
        count()
        self._seconds(seconds)
        if rows:
            self._rows(rows)

    def _resolve(self, protocol: str, status: int) -> Any:
        model, version, traffic = self._labels
        child = metric(catalogue.REQUESTS).labels(model, version, protocol, str(status), traffic)
        self._by_status[protocol, status] = child.inc
        return child.inc


@lru_cache(maxsize=4096)
def observed(model: str, version: str, mirrored: bool) -> Observed:
    """The counts of one model and version."""
    return Observed(model, version, "mirrored" if mirrored else "live")


def exposition() -> bytes:
    """All metrics in Prometheus's text format, of all workers where there are several."""
    if SHARED_FOLDER not in os.environ:
        return generate_latest(OWN)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def forget_worker(pid: int) -> None:
    """Take the gauges of a worker that has ended out of the sums; its counters stay."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]
