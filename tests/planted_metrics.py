"""A process that emits every metric of the catalogue, well or with faults planted in it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from fairlead import metrics as m
from fairlead.metrics import LATENCY_SECONDS, Metric

MODEL, ENVIRONMENT = "flight-delay", "dev"
TICK_SECONDS = 0.1
COMMON = {
    "model": MODEL, "environment": ENVIRONMENT, "version": "3", "protocol": "v2", "traffic": "live", "view": "weather",
    "dataset": "flights", "digest": "0123456789ab", "candidate": "logistic", "as_of": "2013-04-01", "error": "",
    "engine": "own", "library": "scipy 1.16", "feature": "distance", "test": "ks", "backend": "stable",
    "signal": "errors", "of": "harm", "bound": "value", "quantile": "0.5", "severity": "critical",
}  # fmt: skip
"""Of every series that has the label; what differs between series is said where they are set."""
GROUPS = (m.SERVER, m.COLLECTOR, m.MONITOR, m.DRIFT, m.GATEWAY, m.ROLLOUT, m.PERFORMANCE, m.RETRAINING)


class Planted:
    """Metrics that go on by themselves: counters at a rate, instants that stay now."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._made = {metric.name: self._make(metric) for group in GROUPS for metric in group}
        self._rates: dict[tuple[str, tuple[str, ...]], float] = {}
        self._instants: set[tuple[str, tuple[str, ...]]] = set()
        self._observed: dict[tuple[str, tuple[str, ...]], float] = {}
        self._lock = threading.Lock()

    def _make(self, metric: Metric) -> Any:
        if metric.kind == "histogram":
            return Histogram(metric.name, metric.help, metric.labels, registry=self.registry, buckets=LATENCY_SECONDS)
        kind = Counter if metric.kind == "counter" else Gauge
        return kind(metric.name, metric.help, metric.labels, registry=self.registry)

    def _key(self, metric: Metric, labels: dict[str, str]) -> tuple[str, tuple[str, ...]]:
        return metric.name, tuple({**COMMON, **labels}[name] for name in metric.labels)

    def _child(self, key: tuple[str, tuple[str, ...]]) -> Any:
        name, values = key
        return self._made[name].labels(*values) if values else self._made[name]

    def gauge(self, metric: Metric, value: float, **labels: str) -> None:
        """Set a gauge, which stays as it is."""
        with self._lock:
            key = self._key(metric, labels)
            self._instants.discard(key)
            self._child(key).set(value)

    def fresh(self, metric: Metric, **labels: str) -> None:
        """A gauge that is an instant: now, from now on."""
        with self._lock:
            key = self._key(metric, labels)
            self._child(key).set(time.time())
            self._instants.add(key)

    def rate(self, metric: Metric, a_second: float, **labels: str) -> None:
        """How fast a counter rises from now on."""
        with self._lock:
            key = self._key(metric, labels)
            self._child(key)
            self._rates[key] = a_second

    def add(self, metric: Metric, **labels: str) -> None:
        """Count one."""
        self._child(self._key(metric, labels)).inc()

    def observe(self, metric: Metric, seconds: float, **labels: str) -> None:
        """What a histogram sees from now on, a few times a tick."""
        with self._lock:
            self._observed[self._key(metric, labels)] = seconds

    def remove(self, metric: Metric, **labels: str) -> None:
        """A series that is no longer there."""
        with self._lock:
            key = self._key(metric, labels)
            self._instants.discard(key)
            self._made[key[0]].remove(*key[1])

    def tick(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            for key, rate in self._rates.items():
                self._child(key).inc(rate * seconds)
            for key in self._instants:
                self._child(key).set(time.time())
            for key, value in self._observed.items():
                for _ in range(3):
                    self._child(key).observe(value)


@contextmanager
def emitting(planted: Planted, port: int = 0) -> Iterator[str]:
    """Serve them on loopback, with time passing; yields `host:port`."""
    server, thread = start_http_server(port, "127.0.0.1", planted.registry)
    stopped = threading.Event()
    clock = threading.Thread(target=_pass_time, args=(planted.tick, stopped))
    clock.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        stopped.set()
        clock.join()
        server.shutdown()
        server.server_close()
        thread.join()


def _pass_time(tick: Callable[[float], None], stopped: threading.Event) -> None:
    last = time.monotonic()
    while not stopped.wait(TICK_SECONDS):
        now = time.monotonic()
        tick(now - last)
        last = now


def healthy(p: Planted) -> None:
    """Everything there and well, each label with its usual values."""
    _service(p)
    _records(p)
    _watch(p)
    _release(p)


def _service(p: Planted) -> None:
    p.gauge(m.MODEL_INFO, 1)
    p.rate(m.REQUESTS, 50, status="200")
    p.rate(m.REQUESTS, 0, status="500")
    p.observe(m.REQUEST_SECONDS, 0.003)
    p.observe(m.LOOKUP_SECONDS, 0.001)
    p.rate(m.PREDICTIONS, 50)
    p.gauge(m.IN_FLIGHT, 2)
    p.rate(m.REJECTED, 0, reason="overload")
    p.rate(m.PAST_LANE, 1)
    p.rate(m.FEATURES_MISSING, 1)
    p.rate(m.FEATURES_UNAVAILABLE, 0)
    for result in ("hit", "miss"):
        p.rate(m.CACHED_FEATURES, 5, result=result)
    p.rate(m.LOADS, 0, result="ok")


def _records(p: Planted) -> None:
    p.gauge(m.RECORDS_WAITING, 3)
    p.gauge(m.RECORDS_WAITING_BYTES, 2000)
    p.rate(m.RECORDS, 50, result="delivered")
    for metric in (m.COLLECTOR_ROWS, m.COLLECTOR_DUPLICATES, m.COLLECTOR_LATE, m.COLLECTOR_SKEWED):
        p.rate(metric, 1)
    p.rate(m.COLLECTOR_COMMIT_ERRORS, 0)
    p.rate(m.COLLECTOR_REQUESTS, 5, status="200")
    p.rate(m.COLLECTOR_PAYLOADS, 5, result="paired")
    p.gauge(m.COLLECTOR_WAITING, 1)
    p.gauge(m.COLLECTOR_HALVES, 1)
    p.observe(m.COLLECTOR_COMMIT_SECONDS, 0.1)
    p.fresh(m.COLLECTOR_LAST_COMMIT)
    p.rate(m.GATEWAY_REQUESTS, 5, status="200")
    p.rate(m.GATEWAY_MIRRORED, 5, status="200")
    p.rate(m.GATEWAY_CONFIG_ERRORS, 0)
    for metric in m.GATEWAY:
        if metric.kind == "histogram":
            p.observe(metric, 0.004)
    p.gauge(m.GATEWAY_IN_FLIGHT, 1)
    p.fresh(m.GATEWAY_CONFIG_LOADED)


def _watch(p: Planted) -> None:
    for detector in ("drift", "performance"):
        p.fresh(m.MONITOR_LAST_RUN, detector=detector)
        p.fresh(m.MONITOR_LAST_SUCCESS, detector=detector)
        p.gauge(m.MONITOR_FAILED, 0, detector=detector)
    p.gauge(m.MONITOR_UNREADABLE, 0)
    for kind in ("input", "feature", "prediction"):
        for metric in (m.DRIFT_ALARM, m.DRIFT_NOT_ENOUGH_DATA, m.DRIFT_FEATURE):
            p.gauge(metric, 0, kind=kind)
        p.gauge(m.DRIFT_WINDOWS, 5, kind=kind, verdict="no_drift")
        p.gauge(m.DRIFT_EFFECT, 0.02, kind=kind)
        p.gauge(m.DRIFT_P_VALUE, 0.7, kind=kind)
    p.gauge(m.DRIFT_WINDOW_ROWS, 900)
    p.gauge(m.DRIFT_REFERENCE_ROWS, 9000)
    p.fresh(m.DRIFT_WINDOW_END)
    p.gauge(m.DRIFT_ENGINE, 1)
    p.gauge(m.UPSTREAM_ALARM, 0, cause="quality")
    p.gauge(m.UPSTREAM_FRESHNESS, 600)
    p.gauge(m.UPSTREAM_MISSING, 0.01)
    p.gauge(m.UPSTREAM_BREACHES, 0)
    for metric in (m.LIVE_ROC_AUC, m.LIVE_LOG_LOSS, m.LIVE_CALIBRATION_ERROR):
        p.gauge(metric, 0.7)
    p.gauge(m.LIVE_ESTIMATED_ROC_AUC, 0.7)
    p.gauge(m.LIVE_JUDGED, 1)
    p.gauge(m.LIVE_DECAY, 0)
    p.gauge(m.LABELS_ROWS, 9000, state="known")
    p.gauge(m.LABELS_OVERDUE_RATIO, 0.03)
    p.gauge(m.LABELS_CONFLICTING_ROWS, 2)
    p.gauge(m.LABEL_DELAY_SECONDS, 9000)
    p.gauge(m.LOSS_CHANGE, 0, detector="adwin")
    p.gauge(m.LOSS_CHANGE_TIMESTAMP, 1.4e9, detector="adwin")
    p.fresh(m.PERFORMANCE_LAST_RUN)


def _release(p: Planted) -> None:
    p.gauge(m.ROLLOUT_STAGE, 1, stage="canary")
    p.gauge(m.ROLLOUT_STAGE, 0, stage="rolled_back")
    p.gauge(m.ROLLOUT_WEIGHT, 0.05)
    p.gauge(m.ROLLOUT_EVIDENCE, 1.0)
    p.gauge(m.ROLLOUT_THRESHOLD, 3.0)
    p.rate(m.ROLLOUT_DECISIONS, 0.1, result="advanced")
    p.fresh(m.ROLLOUT_LAST_LOOK)
    p.gauge(m.ROLLOUT_METRICS_UNAVAILABLE, 0)
    p.gauge(m.ROLLOUT_GIT_UNAVAILABLE, 0)
    p.gauge(m.ROLLOUT_WAITING, 0, reason="undecided")
    p.gauge(m.RETRAINING_STATE, 1, state="ready")
    p.rate(m.RETRAINING_REQUESTS, 0.1, trigger="drift", answer="started")
    p.gauge(m.RETRAINING_BLOCKED, 0, reason="budget")
    p.gauge(m.RETRAINING_RUNS_IN_MONTH, 2)
    p.gauge(m.RETRAINING_BUDGET, 3)
    p.gauge(m.RETRAINING_FAILURES, 0)
    p.gauge(m.RETRAINING_LAST_START, 1.4e9)
    p.gauge(m.RETRAINING_LAST_SUCCESS, 1.4e9)
    p.fresh(m.RETRAINING_LAST_RUN)
