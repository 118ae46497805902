"""What the gateway counts; a rollout controller reads it from the admin port."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

NOBODY = ""
"""The backend of a request that went to none: no rule matched, or the rule has no backend."""
CLIENT_LEFT = 499
"""The status of a request whose client left before its answer, as nginx counts it."""
BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Counters:
    """The metrics of one gateway. Mirrored traffic is in `mirrored` alone."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "fairlead_gateway_requests",
            "Requests answered, by backend and status; no backend where none was chosen; 499: the client left.",
            ["backend", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "fairlead_gateway_request_seconds",
            "From a request's head to the last byte of its answer, in seconds.",
            ["backend"],
            buckets=BUCKETS_SECONDS,
            registry=self._registry,
        )
        self.in_flight = Gauge(
            "fairlead_gateway_in_flight_requests",
            "Requests that a backend has not answered yet.",
            ["backend"],
            registry=self._registry,
        )
        self.mirrored = Counter(
            "fairlead_gateway_mirrored",
            "Requests to be copied, by backend and status of the copy's answer; or too_large, incomplete, dropped.",
            ["backend", "status"],
            registry=self._registry,
        )
        self.config_loaded = Gauge(
            "fairlead_gateway_config_loaded_timestamp_seconds",
            "When the routes in use were read, in seconds since 1970.",
            registry=self._registry,
        )
        self.config_errors = Counter(
            "fairlead_gateway_config_errors",
            "Times that the routes file changed and was refused.",
            registry=self._registry,
        )

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
