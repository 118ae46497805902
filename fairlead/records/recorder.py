"""What the request's path calls: keeps an event and returns; everything slow happens elsewhere."""

from dataclasses import dataclass
from typing import Self

from fairlead.records.delivery import Delivery, Pace, check_url
from fairlead.records.record import Pseudonyms
from fairlead.records.spool import Spool
from fairlead.settings import RecordSettings

REJECTED_FOLDER = "rejected"
REJECTED_SHARE = 4
"""One part in so many of the spool's size may be taken by rejected events."""


@dataclass(frozen=True)
class Counts:
    """How records fare; all but the depths only grow, from 0 at the start of the process."""

    depth_events: int
    depth_bytes: int
    delivered: int
    dropped: int
    rejected: int
    refused: int
    torn: int


class Recorder:
    """Keeps the events of one process and has them delivered. Threads may call it at once; make it after a fork."""

    def __init__(self, spool: Spool, delivery: Delivery, pseudonyms: Pseudonyms | None) -> None:
        self._spool = spool
        self._delivery = delivery
        self.pseudonyms = pseudonyms
        """None: the environment has no key."""
        self.record = spool.append
        """Keep an event; raises `SpoolFullError` where a full spool refuses."""

    @classmethod
    def open(cls, settings: RecordSettings, pace: Pace | None = None) -> Self | None:
        """Begin to record as the environment says; None where it names no collector.

        Raises:
            RecordError: the folder cannot be written, or the collector's address is none.
        """
        if settings.collector_url is None:
            return None
        check_url(settings.collector_url)
        folder, size, when_full = settings.spool_folder, settings.spool_bytes, settings.spool_when_full
        assert folder is not None, "checked by the settings"
        assert size is not None, "checked by the settings"
        assert when_full is not None, "checked by the settings"
        spool = Spool(folder, max_bytes=size, when_full=when_full)
        delivery = Delivery(
            spool,
            settings.collector_url,
            rejected=folder / REJECTED_FOLDER,
            rejected_bytes=size // REJECTED_SHARE,
            pace=pace,
        )
        delivery.start()
        key = settings.pseudonym_key
        return cls(spool, delivery, Pseudonyms(key.get_secret_value()) if key else None)

    def counts(self) -> Counts:
        """For metrics."""
        return Counts(
            depth_events=self._spool.depth_events,
            depth_bytes=self._spool.depth_bytes,
            delivered=self._delivery.delivered,
            dropped=self._spool.dropped,
            rejected=self._delivery.rejected,
            refused=self._spool.refused,
            torn=self._spool.torn,
        )

    def close(self, within_seconds: float) -> None:
        """Deliver what waits, for so long at most; the rest stays on disk for the next process."""
        self._delivery.stop(within_seconds)
        self._spool.close()
