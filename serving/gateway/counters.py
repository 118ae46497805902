"""What the gateway counts; a rollout controller reads it from the admin port."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from fairlead import metrics as catalogue

NOBODY = ""
"""The backend of a request that went to none: no rule matched, or the rule has no backend."""
CLIENT_LEFT = 499
"""The status of a request whose client left before its answer, as nginx counts it."""


class Counters:
    """The metrics of one gateway, in a registry of their own. Copies are in `mirrored` and `mirrored_seconds` alone."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = self._counter(catalogue.GATEWAY_REQUESTS)
        self.mirrored = self._counter(catalogue.GATEWAY_MIRRORED)
        self.config_errors = self._counter(catalogue.GATEWAY_CONFIG_ERRORS)
        self.in_flight = self._gauge(catalogue.GATEWAY_IN_FLIGHT)
        self.config_loaded = self._gauge(catalogue.GATEWAY_CONFIG_LOADED)
        self.seconds = self._histogram(catalogue.GATEWAY_SECONDS)
        self.mirrored_seconds = self._histogram(catalogue.GATEWAY_MIRRORED_SECONDS)

    def loaded(self) -> None:
        """Other routes are in use from now on."""
        self.config_loaded.set(time.time())

    def finished(self, backend: str, status: int, seconds: float) -> None:
        """A request is done with."""
        self.requests.labels(backend, str(status)).inc()
        self.seconds.labels(backend).observe(seconds)

    def text(self) -> bytes:
        """All of it in Prometheus's text format 0.0.4."""
        return generate_latest(self._registry)

    def _counter(self, metric: catalogue.Metric) -> Counter:
        return Counter(metric.name, metric.help, metric.labels, registry=self._registry)

    def _gauge(self, metric: catalogue.Metric) -> Gauge:
        return Gauge(metric.name, metric.help, metric.labels, registry=self._registry)

    def _histogram(self, metric: catalogue.Metric) -> Histogram:
        buckets = catalogue.LATENCY_SECONDS
        return Histogram(metric.name, metric.help, metric.labels, registry=self._registry, buckets=buckets)
