"""What the collector counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from fairlead import metrics as catalogue


class Metrics:
    """Metrics of one collector, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.rows = self._counter(catalogue.COLLECTOR_ROWS)
        self.duplicates = self._counter(catalogue.COLLECTOR_DUPLICATES)
        self.late = self._counter(catalogue.COLLECTOR_LATE)
        self.skewed = self._counter(catalogue.COLLECTOR_SKEWED)
        self.requests = self._counter(catalogue.COLLECTOR_REQUESTS)
        self.commit_errors = self._counter(catalogue.COLLECTOR_COMMIT_ERRORS)
        self.payloads = self._counter(catalogue.COLLECTOR_PAYLOADS)
        self.waiting = self._gauge(catalogue.COLLECTOR_WAITING)
        self.last_commit = self._gauge(catalogue.COLLECTOR_LAST_COMMIT)
        self.halves = self._gauge(catalogue.COLLECTOR_HALVES)
        commit = catalogue.COLLECTOR_COMMIT_SECONDS
        self.commit_seconds = Histogram(
            commit.name, commit.help, registry=self.registry, buckets=catalogue.LATENCY_SECONDS
        )

    def _counter(self, metric: catalogue.Metric) -> Counter:
        return Counter(metric.name, metric.help, metric.labels, registry=self.registry)

    def _gauge(self, metric: catalogue.Metric) -> Gauge:
        return Gauge(metric.name, metric.help, metric.labels, registry=self.registry)
