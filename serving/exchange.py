"""What is known of a request when it has been answered, for metrics and records."""

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fairlead import metrics as catalogue
from fairlead.errors import SpoolFullError
from fairlead.records.recorder import Counts, Recorder
from serving.logs import SERVER_ERROR, access_log, log_answer
from serving.metrics import count_noted, metric, observed
from serving.tracing import Traces

if TYPE_CHECKING:
    from serving.lane import Answer
    from serving.model import BundleModel


@dataclass
class Exchange:
    """A request on the SDK's route; the model fills it in."""

    mirrored: bool
    started: float
    """Of time.perf_counter."""
    model: "BundleModel | None" = None
    id: str | None = None
    columns: Mapping[str, Sequence[Any]] | None = None
    asked_at: datetime | None = None
    rows: int = 0
    """Scored; 0 until then."""
    traceparent: str | None = None


current: ContextVar[Exchange | None] = ContextVar("current", default=None)
"""Of the request at hand; None outside one."""


class Observer:
    """Counts what was answered, and records it where records are kept."""

    def __init__(self, recorder: Recorder | None = None, traces: Traces | None = None) -> None:
        self._recorder = recorder
        self.traces = traces
        self._told: Counts | None = None
        self._logs = access_log.isEnabledFor(logging.INFO)
        self.in_flight = metric(catalogue.IN_FLIGHT)
        self._rejected = metric(catalogue.REJECTED)
        self._past_lane = metric(catalogue.PAST_LANE).inc

    def answered(
        self,
        model: "BundleModel",
        protocol: str,
        started: float,
        mirrored: bool,
        result: "Answer",
        traceparent: str | None = None,
    ) -> None:
        """The lane has an answer, which is about to be sent; `started` is of time.perf_counter.

        Raises:
            SpoolFullError: it must not be sent, for it cannot be recorded.
        """
        if model.records is not None:
            model.records.answered(
                result.columns, result.matrix, result.probabilities, None, result.id, started,
                asked_at=result.asked_at, mirrored=mirrored,
            )  # fmt: skip
        seconds = time.perf_counter() - started
        observed(model.name, model.version or "", mirrored).answered((protocol, 200, seconds, len(result.matrix)))
        self._tell(model, protocol, 200, seconds, result.id, traceparent)

    def failed(
        self, model: "BundleModel", protocol: str, status: int, started: float, mirrored: bool, reason: str
    ) -> None:
        """The lane has no answer: the model cannot be asked, or must not answer."""
        seconds = time.perf_counter() - started
        observed(model.name, model.version or "", mirrored).answered((protocol, status, seconds, 0))
        self._tell(model, protocol, status, seconds, None, None)
        self._record_failure(model, None, status, reason, started, mirrored)

    def asked_sdk(self, exchange: Exchange, protocol: str, status: int, reason: str) -> None:
        """The SDK's route has answered, well or not."""
        model, seconds = exchange.model, time.perf_counter() - exchange.started
        name, version = (model.name, model.version or "") if model else ("", "")
        rows = exchange.rows if status == 200 else 0
        observed(name, version, exchange.mirrored).answered((protocol, status, seconds, rows))
        if protocol != "grpc":
            self._past_lane()
        self._tell(model, protocol, status, seconds, exchange.id, exchange.traceparent)
        if model is not None and status != 200:
            self._record_failure(model, exchange.id, status, reason, exchange.started, exchange.mirrored)

    def _tell(
        self,
        model: "BundleModel | None",
        protocol: str,
        status: int,
        seconds: float,
        request_id: str | None,
        traceparent: str | None,
    ) -> None:
        """Log and trace, where that is asked for."""
        if not self._logs and status < SERVER_ERROR and self.traces is None:
            return
        name, version = (model.name, model.version or "") if model else ("", "")
        log_answer(name, version, protocol, status, seconds, request_id)
        if self.traces is not None:
            attributes = {"model": name, "version": version, "protocol": protocol, "http.response.status_code": status}
            self.traces.answered(traceparent, seconds, attributes)

    def refused(self, kind: str) -> None:
        """A request that no model saw."""
        self._rejected.labels(kind).inc()

    def tell(self) -> None:
        """Bring the metrics up to date; called now and then."""
        count_noted()
        if self._recorder is None:
            return
        now, before = self._recorder.counts(), self._told
        metric(catalogue.RECORDS_WAITING).set(now.depth_events)
        metric(catalogue.RECORDS_WAITING_BYTES).set(now.depth_bytes)
        for result in ("delivered", "dropped", "rejected", "refused", "torn"):
            more = getattr(now, result) - (getattr(before, result) if before else 0)
            metric(catalogue.RECORDS).labels(result).inc(more)
        self._told = now

    def _record_failure(
        self, model: "BundleModel", request_id: str | None, status: int, reason: str, started: float, mirrored: bool
    ) -> None:
        if model.records is None:
            return
        # The caller is refused anyway; a spool that takes nothing counts what it refused.
        with contextlib.suppress(SpoolFullError):
            model.records.failed(request_id, status, reason, started, mirrored)
