"""One file of a spool: how far it is delivered, then frames of length, checksum and bytes."""

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


def frame(event: bytes) -> bytes:
    """An event as it lies in a segment."""
    return FRAME.pack(len(event), crc32(event)) + event


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

    def __init__(self, path: Path, descriptor: int, *, acknowledged: int, size: int, events: int) -> None:
        self.path = path
        self.acknowledged = acknowledged
        """Offset of the first byte that is not delivered yet."""
        self.size = size
        """Offset behind the last whole frame."""
        self.events = events
        """How many frames lie between the two."""
        self._descriptor = descriptor

    @classmethod
    def create(cls, folder: Path) -> Self:
        """An empty segment; names are in the order of creation."""
        path = folder / f"{time.time_ns():020d}-{secrets.token_hex(4)}{SUFFIX}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        segment = cls(path, descriptor, acknowledged=HEADER.size, size=0, events=0)
        try:
            segment._write(_header(HEADER.size))
        except OSError:
            segment.remove()
            raise
        return segment

    @classmethod
    def open(cls, path: Path) -> tuple[Self, int]:
        """A segment that another process left, cut behind its last whole frame; and how many torn frames it had."""
        content = path.read_bytes()
        acknowledged = _read_header(content)
        found = walk(content[acknowledged:])
        size = max(acknowledged + found.length, HEADER.size)
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        os.ftruncate(descriptor, size)
        os.lseek(descriptor, size, os.SEEK_SET)
        segment = cls(path, descriptor, acknowledged=acknowledged, size=size, events=len(found.events) + found.torn)
        return segment, int(len(content) > acknowledged + found.length)

    @property
    def done(self) -> bool:
        """Nothing is left to deliver."""
        return self.acknowledged >= self.size

    def append(self, framed: bytes) -> None:
        """Write one frame, or nothing.

        Raises:
            OSError: the disk does not take it.
        """
        self._write(framed)
        self.events += 1

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
        os.close(self._descriptor)

    def _write(self, content: bytes) -> None:
        try:
            written = os.write(self._descriptor, content)
            while written < len(content):  # a disk that is nearly full takes a part; the next write tells why
                written += os.write(self._descriptor, content[written:])
        except OSError:
            os.ftruncate(self._descriptor, self.size)
            os.lseek(self._descriptor, self.size, os.SEEK_SET)
            raise
        self.size += len(content)


def _header(acknowledged: int) -> bytes:
    return HEADER.pack(MARK, acknowledged, crc32(MARK + acknowledged.to_bytes(8, "little")))


def _read_header(content: bytes) -> int:
    """Where delivery goes on; at the beginning if the header is not whole, as twice is better than never."""
    acknowledged = int.from_bytes(content[4:12], "little")
    whole = content[: HEADER.size] == _header(acknowledged) and acknowledged <= len(content)
    return acknowledged if whole else HEADER.size
