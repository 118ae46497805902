"""Feast's online layout, without Feast: keys, fields, values and times as its stores write them.

Sources, all of Feast 0.67: `feast.infra.key_encoding_utils`, `feast.infra.online_stores.{helpers,redis,sqlite}` and
`feast/types/Value.proto`. Importing Feast costs seconds and 200 MB, which a server does not have.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import mmh3
import numpy as np
import numpy.typing as npt

from fairlead.errors import FeatureError
from fairlead.features.lookup import JoinKey, KeyKind, LookupView
from fairlead.packaging.signature import Matrix

STRING_TYPE, INT32_TYPE, INT64_TYPE = 2, 3, 4
"""`feast.types.ValueType.Enum`."""
DUMMY_KEY, DUMMY_VALUE = JoinKey(name="__dummy_id", kind="STRING"), ""
"""What a view without entities is looked up by (`feast.feature_view`)."""

DOUBLE_TAG = 0x29
MISSING_NUMBER = bytes([DOUBLE_TAG]) + struct.pack("<d", np.nan)
DOUBLE = np.dtype([("tag", "u1"), ("number", "<f8")])
"""A `feast.types.Value` that holds a double: a tag, and 8 bytes."""
MICROSECONDS = 1_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_head = struct.Struct("<II").pack
_int32, _int64 = struct.Struct("<IIi").pack, struct.Struct("<IIq").pack


def _text(value: Any) -> bytes:
    if type(value) is not str:
        raise TypeError
    encoded = value.encode()
    return _head(STRING_TYPE, len(encoded)) + encoded


def _whole32(value: Any) -> bytes:
    if type(value) is not int:
        raise TypeError
    return _int32(INT32_TYPE, 4, value)


def _whole64(value: Any) -> bytes:
    if type(value) is not int:
        raise TypeError
    return _int64(INT64_TYPE, 8, value)


ENCODERS: dict[KeyKind, Callable[[Any], bytes]] = {"STRING": _text, "INT32": _whole32, "INT64": _whole64}


class KeyEncoder:
    """Writes entity keys in serialization version 3: the count and names of the join keys, then their values."""

    def __init__(self, keys: Sequence[JoinKey]) -> None:
        self._keys = tuple(sorted(keys, key=lambda key: key.name)) or (DUMMY_KEY,)
        self._dummy = not keys
        names = [key.name.encode() for key in self._keys]
        self._prefix = struct.pack("<I", len(names)) + b"".join(_head(STRING_TYPE, len(name)) + name for name in names)

    def encode(self, columns: Mapping[str, Sequence[Any]], rows: int) -> list[bytes | None]:
        """One key a row; None where a value is missing or of another type, which no entity can have.

        Args:
            columns: join key → values, of which those needed here are `rows` long.
            rows: how many keys to make.
        """
        if self._dummy:
            return [self._one((DUMMY_VALUE,))] * rows
        if len(self._keys) == 1:
            return [self._one((value,)) for value in columns[self._keys[0].name]]
        return [self._one(values) for values in zip(*(columns[key.name] for key in self._keys), strict=True)]

    def _one(self, values: Sequence[Any]) -> bytes | None:
        try:
            parts = [
                ENCODERS[key.kind](value.item() if isinstance(value, np.generic) else value)
                for key, value in zip(self._keys, values, strict=True)
            ]
        except (TypeError, struct.error, UnicodeEncodeError):  # of another type, beyond its range, no valid text
            return None
        return self._prefix + b"".join(parts)


def field(view: str, feature: str) -> bytes:
    """The field of a feature in a Redis hash."""
    return struct.pack("<I", mmh3.hash(f"{view}:{feature}", signed=False))


def time_field(view: str) -> bytes:
    """The field of a view's event timestamp in a Redis hash."""
    return f"_ts:{view}".encode()


def table(project: str, view: str) -> str:
    """The table of a view in SQLite, quoted."""
    return '"' + f"{project}_{view}".replace('"', '""') + '"'


def oldest_in_redis(view: LookupView, asked_at: datetime) -> int | None:
    """The smallest time, in microseconds, at which a row of `view` has not expired; None: none ever does."""
    if not view.ttl_seconds:
        return None
    return (asked_at - EPOCH - timedelta(seconds=view.ttl_seconds)) // timedelta(microseconds=1)


def oldest_in_sqlite(view: LookupView, asked_at: datetime) -> float | None:
    """The same in seconds as Feast's SQLite store has them.

    It takes the UTC time for a local one on writing and on reading, so a reader must run in the writer's time zone.
    """
    if not view.ttl_seconds:
        return None
    return (asked_at.astimezone(UTC) - timedelta(seconds=view.ttl_seconds)).replace(tzinfo=None).timestamp()


@lru_cache(maxsize=4096)  # rows that are published together share their time
def timestamp(content: bytes) -> int:
    """A `google.protobuf.Timestamp`, in microseconds."""
    seconds = nanos = 0
    position = 0
    while position < len(content):
        tag = content[position]
        number, position = _varint(content, position + 1)
        if tag == 0x08:
            seconds = number
        elif tag == 0x10:
            nanos = number
    return seconds * MICROSECONDS + nanos // 1000


def value(content: bytes) -> Any:
    """A `feast.types.Value` with a number, a text or nothing in it: float, int, bool, str or None.

    By hand, in a third of the time that the protobuf message takes; `doubles` takes a fiftieth.

    Raises:
        FeatureError: it is of a kind that no input can take, such as a list.
    """
    if not content:
        return None
    tag = content[0]
    if tag not in KINDS:
        raise FeatureError(f"an online value must be a number, a truth value or text, but its field is {tag >> 3}")
    return KINDS[tag](content)


def _varint(content: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = content[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number - (1 << 64) if number >> 63 else number), position
        shift += 7


def _read_text(content: bytes) -> str:
    _, start = _varint(content, 1)
    return content[start:].decode()


def _read_whole(content: bytes) -> int:
    return _varint(content, 1)[0]


KINDS: dict[int, Callable[[bytes], Any]] = {
    0x12: _read_text,
    0x18: _read_whole,  # int32
    0x20: _read_whole,  # int64
    DOUBLE_TAG: lambda content: struct.unpack_from("<d", content, 1)[0],
    0x35: lambda content: struct.unpack_from("<f", content, 1)[0],
    0x38: lambda content: content[1] != 0,
    0x98: lambda content: None,  # null_val
}
"""First byte of a value: the number of its field in Value.proto, and how it is written."""


def doubles(contents: Sequence[bytes | None]) -> Matrix | None:
    """Many values at once, if all of them are doubles or missing; None if one is anything else.

    A double is 9 bytes and begins with its tag. So up to the first value that is none the cells lie right, and the
    tag of that one gives it away.
    """
    joined = b"".join([content or MISSING_NUMBER for content in contents])
    if len(joined) != DOUBLE.itemsize * len(contents):
        return None
    cells = np.frombuffer(joined, dtype=DOUBLE)
    if not (cells["tag"] == DOUBLE_TAG).all():
        return None
    with np.errstate(over="ignore"):  # a number beyond FP32 is infinite, as it was in training
        numbers: npt.NDArray[np.float32] = cells["number"].astype(np.float32)
    return numbers
