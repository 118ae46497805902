"""The collector's interface: CloudEvents over HTTP, in binary, structured and batch mode."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fairlead.errors import FairleadError, RecordError
from fairlead.ports import RecordStore, ResultStore
from fairlead.records.kserve import Payload, is_payload, read_payload
from fairlead.records.reading import PredictionEvent, read_batch, read_binary, read_event
from fairlead.records.record import BATCH_TYPE
from monitoring.collector.halves import Halves
from monitoring.collector.intake import Intake, QueueFullError
from monitoring.collector.limits import Limits
from monitoring.collector.metrics import Metrics
from monitoring.collector.pairing import Pairing, PayloadsFullError
from monitoring.collector.results import Results

STRUCTURED_TYPE = "application/cloudevents+json"
RETRY_SECONDS = 1

log = logging.getLogger(__name__)


class TooLargeError(Exception):
    """A body beyond the limit."""


class UnsupportedError(Exception):
    """A body that is no CloudEvent of JSON."""


@dataclass(frozen=True)
class Payloads:
    """How payloads of KServe's logger become records."""

    halves: Halves
    columns: Mapping[str, Sequence[str]]
    """Model → columns of its requests that may be recorded."""


class CollectorService:
    """Answers requests over a store."""

    def __init__(
        self,
        store: RecordStore,
        results: ResultStore,
        limits: Limits,
        payloads: Payloads | None = None,
        beside: Sequence[Route] = (),
    ) -> None:
        """Prepare to answer.

        Args:
            store: where records are kept.
            results: what jobs that watch have found.
            limits: what is taken at once.
            payloads: how KServe's payload logger is understood; None: it is refused.
            beside: routes of others in the same process.
        """
        self._limits = limits
        self._beside = list(beside)
        self._metrics = Metrics()
        self._metrics.registry.register(Results(results))
        self._intake = Intake(store, self._metrics, max_rows=limits.waiting_rows, gather_seconds=limits.gather_seconds)
        self._pairing: Pairing | None = None
        if payloads is not None:
            self._pairing = Pairing(
                payloads.halves,
                self._intake,
                self._metrics,
                columns=payloads.columns,
                patience=limits.payload_patience,
                max_bytes=limits.payload_bytes,
            )

    def application(self) -> Starlette:
        """As an ASGI application."""
        routes = [
            Route("/", self.receive, methods=["POST"]),
            Route("/healthz", self.health),
            Route("/metrics", self.metrics),
            *self._beside,
        ]
        return Starlette(routes=routes, lifespan=self._lifespan)

    async def receive(self, request: Request) -> Response:
        """Take events; the answer comes when they are kept.

        202: all are kept. 400, 413, 415: none is taken, and none will be. 429, 503: to be sent again.
        """
        answer = await self._receive(request)
        self._metrics.requests.labels(answer.status_code).inc()
        return answer

    async def health(self, request: Request) -> Response:
        """200 while the process answers."""
        return Response("ok\n", media_type="text/plain")

    async def metrics(self, request: Request) -> Response:
        """For Prometheus."""
        content = await asyncio.to_thread(generate_latest, self._metrics.registry)  # it reads results from the store
        return Response(content, media_type=CONTENT_TYPE_LATEST)

    async def _receive(self, request: Request) -> Response:
        try:
            body = await self._body(request)
            if is_payload(request.headers):
                await self._take(read_payload(request.headers, body))
            else:
                await self._intake.keep(self._read(request, body))
        except TooLargeError as error:
            return _refuse(413, error)
        except UnsupportedError as error:
            return _refuse(415, error)
        except RecordError as error:
            return _refuse(400, error)
        except (QueueFullError, PayloadsFullError) as error:
            return _refuse(429, error)
        except FairleadError as error:
            return _refuse(503, error)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it
        return Response(status_code=202)

    async def _take(self, payload: Payload) -> None:
        if self._pairing is None:
            raise UnsupportedError(
                "payloads of KServe's logger wait on disk for each other, but the collector was started without "
                "--spool-folder"
            )
        await self._pairing.take(payload)

    async def _body(self, request: Request) -> bytes:
        limit = self._limits.body_bytes
        pieces, size = [], 0
        async for piece in request.stream():
            size += len(piece)
            if size > limit:
                raise TooLargeError(f"a request must be of at most {limit} bytes, but is larger")
            pieces.append(piece)
        return b"".join(pieces)

    def _read(self, request: Request, body: bytes) -> Sequence[PredictionEvent]:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == BATCH_TYPE:
            return read_batch(body)
        if kind == STRUCTURED_TYPE:
            return [read_event(body)]
        if "ce-specversion" in request.headers and kind == "application/json":
            return [read_binary(request.headers, body)]
        raise UnsupportedError(
            f"a request must be {BATCH_TYPE}, {STRUCTURED_TYPE}, or application/json with the headers of a CloudEvent, "
            f"but is {kind or 'without a content type'}"
        )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._intake.run())]
        tasks += [asyncio.create_task(self._pairing.run())] if self._pairing else []
        for task in tasks:
            task.add_done_callback(_end_if_broken)
        yield
        for task in tasks:  # all requests are answered by now; what is half a payload stays on disk
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _end_if_broken(task: "asyncio.Task[None]") -> None:
    """A collector that no longer commits would let all wait for ever: it ends, and what starts it starts another."""
    if not task.cancelled() and task.exception() is not None:
        log.critical("nothing can be kept any more", exc_info=task.exception())
        signal.raise_signal(signal.SIGTERM)


def _refuse(status: int, error: Exception) -> JSONResponse:
    later = {"retry-after": str(RETRY_SECONDS)} if status in (429, 503) else None
    return JSONResponse({"error": str(error)}, status_code=status, headers=later)
