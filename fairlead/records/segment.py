"""One file of a spool: how far it is delivered, then frames of length, checksum and bytes.

Frames are written through a memory map of a file whose whole length the disk has set aside. A bare `write` of one
record is 2 µs, and what comes after it runs slower for the switch to the kernel: together half of what a record costs.
"""

import mmap
import os
import secrets
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from zlib import crc32

HEADER = struct.Struct("<4sQI")
"""Mark, offset up to which all is acknowledged, checksum of both."""
FRAME = struct.Struct("<II")
"""Length and CRC-32 of the bytes that follow."""
MARK = b"FLS1"
SUFFIX = ".seg"


@dataclass(frozen=True)
class Frames:
    """What was found in a piece of a segment."""

    events: list[bytes]
    torn: int
    """Frames whose bytes are not those that were written."""
    length: int
    """How much of the piece these are."""


def walk(piece: bytes, limit: int | None = None) -> Frames:
    """Read whole frames from the beginning of a piece, at most `limit`; a frame that is not whole ends it."""
    events: list[bytes] = []
    torn = place = 0
    while limit is None or len(events) + torn < limit:
        start = place + FRAME.size
        if start > len(piece):
            break
        length, checksum = FRAME.unpack_from(piece, place)
        if length == 0 or start + length > len(piece):
            break
        event = piece[start : start + length]
        if crc32(event) == checksum:
            events.append(event)
        else:
            torn += 1
        place = start + length
    return Frames(events, torn, place)


class Segment:
    """A file of frames. Not safe for threads: its spool has the lock."""

    def __init__(
        self, path: Path, descriptor: int, *, acknowledged: int, size: int, events: int, capacity: int
    ) -> None:
        self.path = path
        self.acknowledged = acknowledged
        """Offset of the first byte that is not delivered yet."""
        self.size = size
        """Offset behind the last whole frame."""
        self.events = events
        """How many frames lie between the two."""
        self.capacity = capacity
        """Up to where frames may be appended; no more than `size` where none may."""
        self._descriptor = descriptor
        self._map = mmap.mmap(descriptor, capacity) if capacity > size else None

    @classmethod
    def create(cls, folder: Path, capacity: int) -> Self:
        """An empty segment that frames can be appended to; names are in the order of creation.

        Raises:
            OSError: the disk has not as much room.
        """
        path = folder / f"{time.time_ns():020d}-{secrets.token_hex(4)}{SUFFIX}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, capacity)  # a write to a map without room behind it kills the process
            os.pwrite(descriptor, _header(HEADER.size), 0)
            return cls(path, descriptor, acknowledged=HEADER.size, size=HEADER.size, events=0, capacity=capacity)
        except OSError:
            os.close(descriptor)
            path.unlink()
            raise

    @classmethod
    def open(cls, path: Path) -> tuple[Self, int]:
        """A segment that another process left, cut behind its last whole frame; and how many torn frames it had."""
        content = path.read_bytes()
        acknowledged = _read_header(content)
        found = walk(content[acknowledged:])
        end = acknowledged + found.length
        size = max(end, HEADER.size)
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        os.ftruncate(descriptor, size)
        segment = cls(
            path, descriptor, acknowledged=acknowledged, size=size, events=len(found.events) + found.torn, capacity=size
        )
        return segment, int(bool(content[end:].rstrip(b"\0")))

    @property
    def done(self) -> bool:
        """Nothing is left to deliver."""
        return self.acknowledged >= self.size

    def append(self, event: bytes) -> None:
        """Write one frame, for which there must be room. Its length comes last: without it there is no frame."""
        mapped, start = self._map, self.size
        assert mapped is not None, "the spool appends to its newest segment only"
        body = start + FRAME.size
        end = body + len(event)
        mapped[body:end] = event
        FRAME.pack_into(mapped, start, len(event), crc32(event))
        self.size = end
        self.events += 1

    def seal(self) -> None:
        """Append no more; the disk gets back what was set aside."""
        if self._map is not None:
            self._map.close()
            self._map = None
            self.capacity = self.size
            os.ftruncate(self._descriptor, self.size)

    def acknowledge(self, end: int, events: int) -> None:
        """Remember that all before `end` is delivered."""
        os.pwrite(self._descriptor, _header(end), 0)
        self.acknowledged = end
        self.events = self.events - events if end < self.size else 0

    def remove(self) -> None:
        """Delete the file."""
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave the file as it is."""
        self.seal()
        os.close(self._descriptor)


def _header(acknowledged: int) -> bytes:
    return HEADER.pack(MARK, acknowledged, crc32(MARK + acknowledged.to_bytes(8, "little")))


def _read_header(content: bytes) -> int:
    """Where delivery goes on; at the beginning if the header is not whole, as twice is better than never."""
    acknowledged = int.from_bytes(content[4:12], "little")
    whole = content[: HEADER.size] == _header(acknowledged) and acknowledged <= len(content)
    return acknowledged if whole else HEADER.size
