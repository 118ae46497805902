"""What is known of a request when it has been answered, for metrics and records."""

import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fairlead import metrics as catalogue
from fairlead.packaging.signature import Matrix
from serving.metrics import metric, observed

if TYPE_CHECKING:
    from serving.lane import Answer
    from serving.model import BundleModel


@dataclass
class Exchange:
    """A request on the SDK's route; the model fills it in."""

    mirrored: bool
    model: "BundleModel | None" = None
    id: str | None = None
    columns: Mapping[str, Sequence[Any]] | None = None
    matrix: Matrix | None = None
    probabilities: Matrix | None = None


current: ContextVar[Exchange | None] = ContextVar("current", default=None)
"""Of the request at hand; None outside one."""


class Observer:
    """Counts what was answered."""

    def __init__(self) -> None:
        self._rejected = metric(catalogue.REJECTED)
        self._lane = metric(catalogue.LANE).labels("lane").inc
        self._sdk = metric(catalogue.LANE).labels("sdk").inc

    def answered(self, model: "BundleModel", protocol: str, started: float, mirrored: bool, result: "Answer") -> None:
        """The lane has answered; `started` is of time.perf_counter."""
        seconds = time.perf_counter() - started
        observed(model.name, model.version or "", mirrored).answered(protocol, 200, seconds, len(result.matrix))
        self._lane()

    def failed(
        self, model: "BundleModel", protocol: str, status: int, started: float, mirrored: bool, reason: str
    ) -> None:
        """A model could not answer."""
        seconds = time.perf_counter() - started
        observed(model.name, model.version or "", mirrored).answered(protocol, status, seconds, 0)

    def asked_sdk(self, exchange: Exchange, protocol: str, status: int, started: float) -> None:
        """The SDK's route has answered, well or not."""
        seconds = time.perf_counter() - started
        name, version = (exchange.model.name, exchange.model.version or "") if exchange.model else ("", "")
        rows = len(exchange.matrix) if exchange.matrix is not None and status == 200 else 0
        observed(name, version, exchange.mirrored).answered(protocol, status, seconds, rows)
        if protocol != "grpc":
            self._sdk()

    def refused(self, kind: str) -> None:
        """A request that no model saw."""
        self._rejected.labels(kind).inc()
