"""Brings the halves of KServe's payloads together, in the background, and hands them on as records."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta

from fairlead.errors import FairleadError, RecordError
from fairlead.records.kserve import Payload, to_event
from fairlead.records.reading import PredictionEvent
from monitoring.collector.halves import Halves, Pair
from monitoring.collector.intake import Intake, QueueFullError
from monitoring.collector.metrics import Metrics

MOST_AT_ONCE = 500
LOOK_SECONDS = 1.0
"""Between two looks for what is older than the patience, and after a failure."""

log = logging.getLogger(__name__)


class PayloadsFullError(Exception):
    """Too many payloads wait for their other half."""


class Pairing:
    """Takes payloads, and records them when both halves are here. All methods belong to one event loop."""

    def __init__(
        self,
        halves: Halves,
        intake: Intake,
        metrics: Metrics,
        *,
        columns: Mapping[str, Sequence[str]],
        patience: timedelta,
        max_bytes: int,
    ) -> None:
        """Prepare.

        Args:
            halves: where payloads wait.
            intake: what keeps records.
            metrics: what is counted.
            columns: model → columns of its requests that may be recorded; no others are.
            patience: how long a half waits for the other.
            max_bytes: most that may wait.
        """
        self._halves = halves
        self._intake = intake
        self._metrics = metrics
        self._columns = columns
        self._patience = patience
        self._max_bytes = max_bytes
        self._arrived = asyncio.Event()
        self._size = 0

    async def take(self, payload: Payload) -> None:
        """Return when it is on disk.

        Raises:
            PayloadsFullError: too much waits already; nothing was taken.
            HomeError: it cannot be written.
        """
        if self._size + len(payload.body) > self._max_bytes:
            raise PayloadsFullError(f"at most {self._max_bytes} bytes of payloads may wait, but {self._size} do")
        self._size += len(payload.body)
        await asyncio.to_thread(self._halves.add, [payload])
        self._arrived.set()

    async def run(self) -> None:
        """Record what is complete, for ever."""
        while True:
            try:
                moved = await self._step()
            except (FairleadError, QueueFullError) as error:
                log.warning("payloads wait: %s", error)
                await asyncio.sleep(LOOK_SECONDS)
                continue
            if not moved:
                self._arrived.clear()
                try:
                    await asyncio.wait_for(self._arrived.wait(), LOOK_SECONDS)
                except TimeoutError:
                    continue

    async def _step(self) -> bool:
        """Record some; False if there were none."""
        given_up = await asyncio.to_thread(self._halves.give_up_requests, self._patience)
        self._metrics.payloads.labels("request_only").inc(given_up)
        pairs = await asyncio.to_thread(self._halves.pairs, self._patience, MOST_AT_ONCE)
        events = [event for pair in pairs if (event := self._event(pair)) is not None]
        if events:
            await self._intake.keep(events)
        # Only now: a kill before this brings them again, and the table knows their ids.
        await asyncio.to_thread(self._halves.remove, [number for pair in pairs for number in pair.numbers])
        count, self._size = await asyncio.to_thread(self._halves.waiting)
        self._metrics.halves.set(count)
        return bool(pairs)

    def _event(self, pair: Pair) -> PredictionEvent | None:
        """The record of a pair; None if nobody can read it: a sender that never repeats cannot be told."""
        try:
            event = to_event(pair.answer, pair.request, self._columns)
        except RecordError as error:
            self._metrics.payloads.labels("unreadable").inc(len(pair.numbers))
            log.error("payloads of %s cannot be recorded: %s", pair.answer.key, error)
            return None
        result = "paired" if pair.request is not None else "answer_only"
        self._metrics.payloads.labels(result).inc(len(pair.numbers))
        return event
