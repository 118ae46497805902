"""The columns that a caller sends: what each may hold, in words that a refusal can use."""

import math
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

import numpy as np

from fairlead.packaging.signature import Signature
from fairlead.spec.dataset import did_you_mean
from serving.sdk import InvalidInput

LARGEST_NUMBER = float(np.finfo(np.float32).max)
LARGEST_INTEGER = 2**63 - 1
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
ASKED_AT = "asked_at"


@dataclass(frozen=True)
class Kind:
    """What a column may hold, apart from missing values."""

    words: str
    datatypes: tuple[str, ...]
    """Of the v2 protocol; the first is what metadata states."""
    accepts: Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    # A lone surrogate is JSON, but no text that a store could take.
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_INTEGER


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and (math.isnan(value) or abs(value) <= LARGEST_NUMBER)


INTEGERS = ("INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8")
TEXT = Kind("text", ("BYTES",), _is_text)
INTEGER = Kind("whole numbers", INTEGERS, _is_integer)
NUMBER = Kind("finite numbers", ("FP32", "FP64", "FP16", *INTEGERS, "BOOL"), _is_number)


@dataclass(frozen=True)
class Column:
    """One column of a request."""

    name: str
    kinds: tuple[Kind, ...]
    """All its values are of one of these; None is always allowed and means missing."""

    @property
    def datatypes(self) -> tuple[str, ...]:
        """The datatypes of the v2 protocol in which it may be sent."""
        return tuple(datatype for kind in self.kinds for datatype in kind.datatypes)

    def check(self, values: Sequence[Any]) -> None:
        """Refuse values that are of none of the column's kinds.

        Raises:
            InvalidInput: names the column, what it must hold, and the first value that does not fit.
        """
        wrong = [_first_not_of(kind, values) for kind in self.kinds]
        if None in wrong:
            return
        row = max(index for index in wrong if index is not None)
        expected = " or only ".join(kind.words for kind in self.kinds)
        raise InvalidInput(f"column {self.name!r} must hold only {expected}, but row {row} is {show(values[row])}")


def _first_not_of(kind: Kind, values: Sequence[Any]) -> int | None:
    return next((row for row, value in enumerate(values) if value is not None and not kind.accepts(value)), None)


def request_columns(signature: Signature) -> dict[str, Column]:
    """The columns a caller sends, by name, in the signature's order."""
    inputs = {item.name: item for item in signature.inputs if item.source == "request"}
    columns = {}
    for name in signature.request_columns:
        if name not in inputs:
            kinds: tuple[Kind, ...] = (TEXT, INTEGER)
        elif inputs[name].kind == "category":
            kinds = (TEXT,)
        else:
            kinds = (INTEGER,) if name in signature.entities else (NUMBER,)
        columns[name] = Column(name, kinds)
    return columns


def check_names(given: Iterable[str], columns: Mapping[str, Column], where: str) -> None:
    """Refuse a set of names that is not exactly that of the columns.

    Raises:
        InvalidInput: names the first unknown column and the nearest known one, or the first missing column.
    """
    names = list(given)
    unknown = next((name for name in names if name not in columns), None)
    if unknown is not None:
        raise InvalidInput(f"{where} holds the column {unknown!r}" + did_you_mean(unknown, columns))
    missing = next((name for name in columns if name not in names), None)
    if missing is not None:
        raise InvalidInput(f"{where} must hold the column {missing!r}; required are {', '.join(columns)}")


def read_asked_at(parameters: Mapping[str, Any]) -> datetime | None:
    """The instant for which features are looked up: the parameter `asked_at`; None where there is none.

    Raises:
        InvalidInput: it is no instant, lies before 1970, or a parameter looks like a misspelt `asked_at`.
    """
    if ASKED_AT not in parameters:
        misspelt = get_close_matches(ASKED_AT, parameters, n=1, cutoff=0.8)
        if misspelt:
            raise InvalidInput(f"there is no parameter {misspelt[0]!r}; did you mean {ASKED_AT!r}?")
        return None
    text = parameters[ASKED_AT]
    try:
        moment = datetime.fromisoformat(text)
        if moment.utcoffset() is not None and moment >= EARLIEST:
            return moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        pass
    expected = "an ISO 8601 instant with an offset, from 1970 on, such as 2013-10-01T12:00:00+00:00"
    raise InvalidInput(f"parameter {ASKED_AT!r} must be {expected}, but is {show(text)}")


def show(value: Any) -> str:
    """A value for a message, cut short where it is long."""
    return reprlib.repr(value)
