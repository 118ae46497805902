"""What brings records from the spool to their receiver, in the background, for as long as it takes."""

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from time import monotonic

import httpx
import orjson

from fairlead.errors import RecordError
from fairlead.records.record import BATCH_TYPE
from fairlead.records.spool import Batch, Spool

REJECTED_FILE = "rejected.jsonl"
FAULT_OF_THE_EVENT = frozenset({400, 413, 415, 422})
"""What a receiver says of an event that it will never take. Any other refusal may pass: a wrong address or a missing
permission is mended, and until then nothing may be lost."""
LONGEST_REASON = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """When delivery looks, waits and gives up a try; all in seconds."""

    idle: float = 0.1
    """Between two looks into an empty spool: how late a record is at most, while all is well."""
    first_wait: float = 0.2
    """After the first failure; doubled after each one."""
    longest_wait: float = 30.0
    request: float = 10.0
    """How long the receiver may take to answer."""
    adopt: float = 15.0
    """Between two looks for what other processes left when they died."""


class UnavailableError(Exception):
    """The receiver cannot take anything at the moment."""

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Delivery:
    """A thread that posts what is in a spool, oldest first, and acknowledges what the receiver has taken.

    At least once: after a crash or a lost answer events are sent again, and the receiver knows them by their id.
    """

    def __init__(
        self, spool: Spool, url: str, *, rejected: Path, rejected_bytes: int, pace: Pace | None = None
    ) -> None:
        """Prepare to deliver.

        Args:
            spool: where events wait; this is its one reader.
            url: where the receiver takes batches of CloudEvents.
            rejected: folder for events that the receiver refuses for good, to be looked at by a person.
            rejected_bytes: most that is kept there; beyond it events are counted only.
            pace: how often and how long.
        """
        self._spool = spool
        self._url = url
        self._rejected_file = rejected / REJECTED_FILE
        self._rejected_bytes = rejected_bytes
        self._pace = pace or Pace()
        self._client = httpx.Client(timeout=self._pace.request, headers={"content-type": BATCH_TYPE})
        self._stopping = Event()
        self._deadline = float("inf")
        self._failures = 0
        self._looked = monotonic()
        self._thread = Thread(target=self._run, name="deliver records", daemon=True)
        self.delivered = 0
        """Events that the receiver has taken."""
        self.rejected = 0
        """Events that the receiver will never take."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, within_seconds: float) -> None:
        """Deliver what waits, for so long at most; the rest stays in the spool for the next process."""
        self._deadline = monotonic() + within_seconds
        self._stopping.set()
        self._thread.join(within_seconds + self._pace.idle)

    def _run(self) -> None:
        with self._client:
            while self._goes_on():
                try:
                    moved = self._step()
                except (UnavailableError, OSError) as error:
                    self._back_off(error)
                    continue
                if not moved:
                    if self._stopping.is_set():
                        return
                    self._stopping.wait(self._pace.idle)

    def _goes_on(self) -> bool:
        return monotonic() < self._deadline

    def _step(self) -> bool:
        """Deliver one batch; False if nothing waited."""
        if monotonic() - self._looked > self._pace.adopt:
            self._looked = monotonic()
            self._spool.adopt()
        batch = self._spool.read()
        if batch is None:
            return False
        self._deliver(batch)
        if self._failures:
            log.info("records are delivered again to %s", self._url)
            self._failures = 0
        return True

    def _deliver(self, batch: Batch) -> None:
        refused = self._send(batch.events)
        kept = self._spool.acknowledge(batch)
        self.delivered += max(kept - refused, 0)

    def _send(self, events: Sequence[bytes]) -> int:
        """Bring events to the receiver; return how many it refused for good. Halves find the ones it refuses."""
        if not events:
            return 0
        answer = self._post(events)
        if answer.is_success:
            return 0
        if answer.status_code not in FAULT_OF_THE_EVENT:
            raise UnavailableError(f"{self._url} answers {answer.status_code}", _retry_after(answer))
        if len(events) > 1:
            half = len(events) // 2
            return self._send(events[:half]) + self._send(events[half:])
        self._reject(events[0], answer)
        return 1

    def _post(self, events: Sequence[bytes]) -> httpx.Response:
        remaining = max(self._deadline - monotonic(), 0.05)
        try:
            body = b"[" + b",".join(events) + b"]"
            return self._client.post(self._url, content=body, timeout=min(self._pace.request, remaining))
        except httpx.RequestError as error:
            raise UnavailableError(f"{self._url} cannot be reached: {error}") from None

    def _reject(self, event: bytes, answer: httpx.Response) -> None:
        """Set an event aside, with the reason, where it blocks nothing."""
        reason = answer.text[:LONGEST_REASON]
        line = orjson.dumps({"status": answer.status_code, "reason": reason, "event": orjson.Fragment(event)}) + b"\n"
        self._rejected_file.parent.mkdir(parents=True, exist_ok=True)
        with self._rejected_file.open("ab") as file:
            if file.tell() + len(line) <= self._rejected_bytes:
                file.write(line)
        self.rejected += 1
        log.error("the receiver refuses a record for good: %s %s", answer.status_code, reason)

    def _back_off(self, error: Exception) -> None:
        """Wait: twice as long after each failure, at random so that processes do not come back all at once."""
        if not self._failures:
            log.warning("records wait in the spool: %s", error)
        longest = min(self._pace.first_wait * 2 ** min(self._failures, 30), self._pace.longest_wait)
        self._failures += 1
        asked = error.retry_after if isinstance(error, UnavailableError) else 0.0
        seconds = max(random.uniform(longest / 2, longest), min(asked, self._pace.longest_wait))
        if not self._stopping.wait(seconds):
            return
        pause = Event()  # told to stop: the last tries, until the deadline
        pause.wait(max(min(seconds, self._deadline - monotonic(), self._pace.first_wait), 0))


def _retry_after(answer: httpx.Response) -> float:
    """Seconds; the form with a date is not used by receivers of ours."""
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isdecimal() else 0.0


def check_url(url: str) -> None:
    """See that something can be posted there at all.

    Raises:
        RecordError: it is no address of a receiver.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise RecordError(f"the receiver's address must be a URL, but is {url!r}: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise RecordError(f"the receiver's address must begin with http:// or https://, but is {url!r}")
