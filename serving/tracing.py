"""OpenTelemetry traces, if the standard variables ask for them."""

import os
import time
from collections.abc import Mapping
from typing import Any

ASKING = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")
TRACEPARENT = b"traceparent"
"""W3C Trace Context."""


class Traces:
    """One span for each answer, exported over OTLP/HTTP in the background."""

    def __init__(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        name = os.environ.get("OTEL_SERVICE_NAME", "fairlead-serving")
        self._provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("fairlead.serving")

    def answered(self, traceparent: str | None, seconds: float, attributes: Mapping[str, Any]) -> None:
        """Export a span that ends now; `traceparent` is the caller's header."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        context = TraceContextTextMapPropagator().extract({"traceparent": traceparent} if traceparent else {})
        end = time.time_ns()
        start = end - int(seconds * 1e9)
        span = self._tracer.start_span("infer", context, SpanKind.SERVER, attributes, start_time=start)
        span.end(end)

    def close(self) -> None:
        """Export what waits."""
        self._provider.shutdown()


def traces_if_asked() -> Traces | None:
    """None unless the environment names where traces go."""
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    asked = any(os.environ.get(name) not in (None, "", "none") for name in ASKING)
    return Traces() if asked and not disabled else None
