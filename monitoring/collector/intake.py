"""Many requests, one commit: events wait together until they are kept, and are answered for only then."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import perf_counter

from fairlead.errors import FairleadError
from fairlead.ports import RecordStore
from fairlead.records.reading import PredictionEvent
from monitoring.collector.metrics import Metrics

LATE, SKEWED = timedelta(hours=1), timedelta(minutes=1)


class QueueFullError(Exception):
    """More waits to be kept than may."""


@dataclass(frozen=True)
class Waiting:
    """The events of one request."""

    events: Sequence[PredictionEvent]
    kept: "asyncio.Future[None]"


class Intake:
    """The queue before a store. All methods belong to one event loop; the store works in a thread."""

    def __init__(self, store: RecordStore, metrics: Metrics, *, max_rows: int, gather_seconds: float) -> None:
        """Prepare to take events.

        Args:
            store: where they are kept.
            metrics: what is counted.
            max_rows: most rows that may wait.
            gather_seconds: how long the first of some requests waits for others before a commit.
        """
        self._store = store
        self._metrics = metrics
        self._max_rows = max_rows
        self._gather_seconds = gather_seconds
        self._waiting: list[Waiting] = []
        self._rows = 0
        self._arrived = asyncio.Event()

    async def keep(self, events: Sequence[PredictionEvent]) -> None:
        """Return when the events are kept.

        Raises:
            QueueFullError: too much waits already; nothing was taken.
            FairleadError: the store cannot be written; some may be kept, and sending all again is right.
        """
        rows = sum(event.predictions for event in events)
        if self._rows and self._rows + rows > self._max_rows:
            raise QueueFullError(f"at most {self._max_rows} rows may wait, but {self._rows} do")
        waiting = Waiting(events, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._count(rows)
        self._arrived.set()
        try:
            await waiting.kept
        finally:
            self._count(-rows)

    async def run(self) -> None:
        """Commit what waits, for ever."""
        while True:
            await self._arrived.wait()
            await asyncio.sleep(self._gather_seconds)
            self._arrived.clear()
            taken, self._waiting = self._waiting, []
            await self._commit(taken)

    async def _commit(self, taken: Sequence[Waiting]) -> None:
        models: dict[str, list[PredictionEvent]] = {}
        for waiting in taken:
            for event in waiting.events:
                models.setdefault(event.data.model, []).append(event)
        errors: dict[str, FairleadError] = {}
        for model, events in models.items():
            try:
                await self._add(model, events)
            except FairleadError as error:
                self._metrics.commit_errors.labels(model).inc()
                errors[model] = error
        for waiting in taken:
            failed = next((errors[event.data.model] for event in waiting.events if event.data.model in errors), None)
            if waiting.kept.done():  # its request was cancelled
                continue
            if failed is None:
                waiting.kept.set_result(None)
            else:
                waiting.kept.set_exception(failed)

    async def _add(self, model: str, events: Sequence[PredictionEvent]) -> None:
        started = perf_counter()
        new = await asyncio.to_thread(self._store.add, model, events)
        self._metrics.commit_seconds.observe(perf_counter() - started)
        self._metrics.rows.labels(model).inc(new)
        self._metrics.last_commit.labels(model).set_to_current_time()
        self._metrics.duplicates.labels(model).inc(sum(event.predictions for event in events) - new)
        now = datetime.now(UTC)
        self._metrics.late.labels(model).inc(sum(e.predictions for e in events if now - e.time > LATE))
        self._metrics.skewed.labels(model).inc(sum(e.predictions for e in events if e.time - now > SKEWED))

    def _count(self, rows: int) -> None:
        self._rows += rows
        self._metrics.waiting.set(self._rows)
