"""The server's metrics, as prometheus-client objects over the catalogue of names."""

import os
from collections import Counter as Tally
from collections.abc import Mapping
from typing import Any

from prometheus_client import REGISTRY as OWN
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from fairlead import metrics as catalogue
from fairlead.metrics import LATENCY_SECONDS, Metric
from serving.workers import METRICS_FOLDER


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
    """What is counted for one model. Answers are noted, and counted together a moment later.

    Counting one takes 12 µs between two answers, where all of it is cold; noting it takes a tenth of one.
    """

    def __init__(self, model: str, version: str, traffic: str) -> None:
        self._labels = (model, version, traffic)
        self._seconds = metric(catalogue.REQUEST_SECONDS).labels(*self._labels).observe
        self._rows = metric(catalogue.PREDICTIONS).labels(*self._labels).inc
        self._noted: list[tuple[str, int, float, int]] = []
        self.answered = self._noted.append
        """Note one answer: protocol, status, seconds, rows scored."""

    def count(self) -> None:
        """Count what has been noted."""
        noted = self._noted[:]
        del self._noted[: len(noted)]  # what is noted meanwhile, in another thread, stays
        model, version, traffic = self._labels
        for (protocol, status), answers in Tally(item[:2] for item in noted).items():
            metric(catalogue.REQUESTS).labels(model, version, protocol, str(status), traffic).inc(answers)
        for _, _, seconds, _ in noted:
            self._seconds(seconds)
        self._rows(sum(rows for _, _, _, rows in noted))


_observed: dict[tuple[str, str, bool], Observed] = {}


def observed(model: str, version: str, mirrored: bool) -> Observed:
    """The counts of one model and version."""
    found = _observed.get((model, version, mirrored))
    if found is None:
        traffic = "mirrored" if mirrored else "live"
        found = _observed.setdefault((model, version, mirrored), Observed(model, version, traffic))
    return found


def count_noted() -> None:
    """Count all that has been noted in this process."""
    for item in list(_observed.values()):
        item.count()


def exposition() -> bytes:
    """All metrics in Prometheus's text format, of all workers where there are several: of others up to a second ago."""
    count_noted()
    if METRICS_FOLDER not in os.environ:
        return generate_latest(OWN)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
