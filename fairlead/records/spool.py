"""Where records wait on disk until they are delivered: bounded, and safe from a kill at any instant.

Each process has a folder of its own, held by a lock that ends with the process. What a dead process left is taken
over by the next one that starts or looks. An event is copied to the kernel's pages of the file, so it outlives the
process from then on. It is not forced to the disk: when the machine itself loses power, the last seconds may be lost.
"""

import fcntl
import os
import secrets
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Literal

from fairlead.errors import RecordError, SpoolFullError
from fairlead.records.segment import FRAME, HEADER, SUFFIX, Segment, walk

WhenFull = Literal["drop_oldest", "refuse"]

LOCK_FILE = "lock"
WORKER_PREFIX = "worker-"
POD_SPOOL_MIB = 64
"""Of a server's pod; alerts know how full it is by it."""
SEGMENTS = 16
"""In how many pieces a full spool is given up."""
LARGEST_SEGMENT = 4 * 1024 * 1024
"""The newest one takes so much disk from its start, and as much memory in the end."""


@dataclass(frozen=True)
class Batch:
    """Events in the order in which they were appended."""

    events: list[bytes]
    segment: Segment
    end: int
    torn: int


class Spool:
    """The events of one process. Threads may append while one other thread reads and acknowledges.

    Make it after a fork, not before: a forked copy would write to the same files.
    """

    def __init__(self, root: Path, *, max_bytes: int, when_full: WhenFull) -> None:
        """Take a folder under `root`, and what dead processes left in theirs.

        Raises:
            RecordError: the folder cannot be written.
        """
        self._root = root
        self._max_bytes = max_bytes
        self._when_full = when_full
        self._segment_bytes = min(LARGEST_SEGMENT, max(max_bytes // SEGMENTS, 1))
        self._lock = Lock()
        self._segments: deque[Segment] = deque()
        self._active: Segment | None = None
        self._bytes = 0
        self._closed = False
        self.dropped = 0
        """Events given up to make room. A batch that was under way at that moment may still arrive."""
        self.refused = 0
        """Events that `append` did not take."""
        self.torn = 0
        """Frames that a crash left half written, or a disk damaged."""
        try:
            self._folder, self._claim = _new_folder(root)
            self.adopt()
        except OSError as error:
            raise RecordError(f"cannot keep records in {root}: {error.strerror or error}") from None

    @property
    def depth_events(self) -> int:
        """Events that wait."""
        with self._lock:
            return sum(segment.events for segment in self._segments)

    @property
    def depth_bytes(self) -> int:
        """Size of what is in the files, with what is delivered but not deleted yet."""
        return self._bytes

    def append(self, event: bytes) -> None:
        """Keep an event, which must not be empty. From the return on a kill of this process does not lose it.

        Raises:
            SpoolFullError: there is no room and the policy is `refuse`.
        """
        length = FRAME.size + len(event)
        with self._lock:
            active = self._active
            if active is None or active.size + length > active.capacity or self._bytes + length > self._max_bytes:
                self._check_open()
                if not self._make_room(length):
                    return
                active = self._active
            if active is None:
                active = self._begin_on_disk(length)
                if active is None:
                    return
            active.append(event)
            self._bytes += length

    def read(self, max_events: int = 2000, max_bytes: int = 2_000_000) -> Batch | None:
        """The oldest events that are not acknowledged, at least one; None if there is none. Reading takes nothing."""
        while True:
            with self._lock:
                segment = next((item for item in self._segments if not item.done), None)
                if segment is None:
                    return None
                start, size = segment.acknowledged, segment.size
            try:
                piece = _piece(segment.path, start, size, max_bytes)
            except FileNotFoundError:  # given up meanwhile
                continue
            found = walk(piece, max_events)
            if found.length == 0:  # a length that a disk damaged: nothing behind it can be found
                return Batch([], segment, size, 1)
            return Batch(found.events, segment, start + found.length, found.torn)

    def acknowledge(self, batch: Batch) -> int:
        """Forget a batch, for good; return how many of its events were still here.

        Raises:
            OSError: that cannot be written down.
        """
        segment = batch.segment
        with self._lock:
            if self._closed or segment not in self._segments:
                return 0
            segment.acknowledge(batch.end, len(batch.events) + batch.torn)
            self.torn += batch.torn
            if not segment.done or segment is self._active:
                return len(batch.events)
            self._forget(segment)
        segment.remove()
        return len(batch.events)

    def adopt(self) -> int:
        """Take over what dead processes left; return how many events that is."""
        adopted = 0
        if self._closed:
            return 0
        for folder in sorted(self._root.glob(f"{WORKER_PREFIX}*")):
            claim = None if folder == self._folder else _claim(folder)
            if claim is None:
                continue
            try:
                adopted += sum(self._take(path) for path in sorted(folder.glob(f"*{SUFFIX}"), reverse=True))
                _remove_folder(folder)
            finally:
                os.close(claim)
        if adopted and self._when_full == "drop_oldest":
            with self._lock:
                self._drop_until(self._max_bytes)
        return adopted

    def close(self) -> None:
        """Leave what is not delivered to the next process, which may be there already."""
        with self._lock:
            if self._closed:
                return
            self._closed, self._active = True, None
            for segment in list(self._segments):
                if segment.done:
                    self._forget(segment)
                    segment.remove()
                else:
                    segment.close()
            if not self._segments:
                _remove_folder(self._folder)
            os.close(self._claim)

    def _check_open(self) -> None:
        if self._closed:
            raise RecordError(f"the spool in {self._root} is closed: it takes no records any more")

    def _make_room(self, length: int) -> bool:
        """End the active segment and see to the bound. False: the event itself is given up.

        An event larger than a segment has one to itself.
        """
        ended, self._active = self._active, None
        if ended is not None and ended.done:
            self._forget(ended)
            ended.remove()
        room = self._max_bytes - HEADER.size - length
        if self._when_full == "drop_oldest":
            self._drop_until(max(room, 0))
        if self._bytes <= room:
            if ended is not None and ended in self._segments:
                ended.seal()
            return True
        if self._when_full == "refuse":
            self._active = ended if ended in self._segments else None
            self.refused += 1
            raise SpoolFullError(
                f"at most {self._max_bytes} bytes of records may wait, but {self._bytes} do in {self._root}"
            )
        self.dropped += 1
        return False

    def _begin_on_disk(self, length: int) -> Segment | None:
        """A new segment; where the disk has no room for it the oldest ones are given up. None: the event itself is."""
        needed = HEADER.size + length
        while True:
            try:
                return self._begin(max(self._segment_bytes, needed))
            except OSError:
                try:
                    return self._begin(needed)  # the last room of a disk that is nearly full
                except OSError as error:
                    if not self._give_up_oldest(error):
                        return None

    def _give_up_oldest(self, error: OSError) -> bool:
        """Make room on the disk itself. False: there is nothing left to give up but the event."""
        if self._when_full == "refuse":
            self.refused += 1
            raise SpoolFullError(f"cannot keep records in {self._folder}: {error.strerror or error}") from None
        if not self._segments:
            self.dropped += 1
            return False
        self._drop(self._segments[0])
        return True

    def _begin(self, capacity: int) -> Segment:
        self._active = Segment.create(self._folder, capacity)
        self._segments.append(self._active)
        self._bytes += self._active.size
        return self._active

    def _take(self, path: Path) -> int:
        """Move a segment of a dead process here, before all others."""
        segment, torn = Segment.open(path.rename(self._folder / path.name))
        with self._lock:
            self.torn += torn
            self._segments.appendleft(segment)
            self._bytes += segment.size
        return segment.events

    def _drop_until(self, room: int) -> None:
        while self._bytes > room and self._segments:
            self._drop(self._segments[0])

    def _drop(self, segment: Segment) -> None:
        self.dropped += segment.events
        self._forget(segment)
        segment.remove()

    def _forget(self, segment: Segment) -> None:
        self._segments.remove(segment)
        self._bytes -= segment.size
        if segment is self._active:
            self._active = None


def _piece(path: Path, start: int, size: int, max_bytes: int) -> bytes:
    """Bytes of a segment from `start` on: about `max_bytes`, or one frame if that is more."""
    with path.open("rb") as file:
        file.seek(start)
        piece = file.read(min(max_bytes, size - start))
        if len(piece) < size - start and walk(piece, 1).length == 0:
            piece += file.read(size - start - len(piece))
    return piece


def _new_folder(root: Path) -> tuple[Path, int]:
    while True:
        folder = root / f"{WORKER_PREFIX}{secrets.token_hex(6)}"
        folder.mkdir(parents=True, mode=0o700)
        claim = _claim(folder)
        if claim is not None:
            return folder, claim


def _claim(folder: Path) -> int | None:
    """Lock a folder; None if a living process has it, or it is gone."""
    path = folder / LOCK_FILE
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_ino == path.stat().st_ino:  # else another process has emptied the folder
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def _remove_folder(folder: Path) -> None:
    """Under its lock. A file that is none of ours stays, and the folder with it; so does what another has claimed."""
    (folder / LOCK_FILE).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
