"""What the collector counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from fairlead import metrics as catalogue


class Metrics:
    """Metrics of one collector, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.rows = self._counter(catalogue.COLLECTOR_ROWS)
        self.duplicates = self._counter(catalogue.COLLECTOR_DUPLICATES)
        self.requests = self._counter(catalogue.COLLECTOR_REQUESTS)
        waiting, commit = catalogue.COLLECTOR_WAITING, catalogue.COLLECTOR_COMMIT_SECONDS
        self.waiting = Gauge(waiting.name, waiting.help, registry=self.registry)
        self.commit_seconds = Histogram(
            commit.name, commit.help, registry=self.registry, buckets=catalogue.LATENCY_SECONDS
        )

    def _counter(self, metric: catalogue.Metric) -> Counter:
        return Counter(metric.name, metric.help, metric.labels, registry=self.registry)
