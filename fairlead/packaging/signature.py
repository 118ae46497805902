"""How columns become the one float32 matrix that a model sees: the same code in training, batch and serving."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from fairlead.errors import BundleError
from fairlead.spec.dataset import Personal

UNKNOWN_CATEGORY = -1.0
"""The code of a category that training did not see, and of a missing one."""

NUMBERS = (int, float, np.number, np.bool_)

Matrix = npt.NDArray[np.float32]


class Input(BaseModel):
    """One column of the matrix."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """A request column, or `<view>__<feature>`."""
    source: Literal["request", "feature"]
    """Sent by the caller, or looked up."""
    kind: Literal["number", "category"]
    categories: list[str] = []
    """In the order of their codes 0, 1, 2, …"""
    default: float | None = None
    """Stands for a missing number, in training as in serving; None: NaN does."""


class Signature(BaseModel):
    """The columns of the matrix, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: list[Input]
    entities: list[str]
    """Keys by which features are looked up; the caller sends them."""
    personal: dict[str, Personal] = {}
    """Column or key that the dataset marks → what a record may hold of it."""

    @property
    def names(self) -> list[str]:
        """Column names, in the matrix's order."""
        return [item.name for item in self.inputs]

    @property
    def request_columns(self) -> list[str]:
        """What a caller sends: the inputs it knows, then the entity keys that are not among them."""
        known = [item.name for item in self.inputs if item.source == "request"]
        return known + [name for name in self.entities if name not in known]

    @property
    def looked_up(self) -> list[Input]:
        """The inputs that a server looks up."""
        return [item for item in self.inputs if item.source == "feature"]

    def matrix(self, columns: Mapping[str, Sequence[Any]], looked_up: Matrix | None = None) -> Matrix:
        """Encode columns: shape [n, d], float32; a missing number is its default or NaN, an unknown category -1.

        Args:
            columns: values by name; those of looked-up inputs only where `looked_up` is not given.
            looked_up: the looked-up inputs as an `OnlineReader` gives them, shape [n, f], or [1, f] for all rows.

        Raises:
            BundleError: a column is missing, of another length, or holds something that is no number.
        """
        sent = [item for item in self.inputs if looked_up is None or item.source == "request"]
        missing = [item.name for item in sent if item.name not in columns]
        if missing:
            raise BundleError(f"column {missing[0]!r} is required, but missing; required are {', '.join(self.names)}")
        rows = len(columns[sent[0].name]) if sent else 0 if looked_up is None else len(looked_up)
        result = np.empty((rows, len(self.inputs)), dtype=np.float32)
        found = 0
        for index, item in enumerate(self.inputs):
            if looked_up is not None and item.source == "feature":
                result[:, index] = looked_up[:, found]
                found += 1
            else:
                result[:, index] = _encode_rows(item, columns[item.name], rows)
            if item.default is not None and item.kind == "number":
                numbers = result[:, index]
                numbers[np.isnan(numbers)] = item.default
        return result


def _encode_rows(item: Input, values: Sequence[Any], rows: int) -> npt.NDArray[np.float32]:
    if len(values) != rows:
        raise BundleError(f"column {item.name!r} must have {rows} values like the others, but has {len(values)}")
    return encode(item, values)


def encode(item: Input, values: Sequence[Any]) -> npt.NDArray[np.float32]:
    """One column: codes of categories, or numbers with NaN for those missing; no default yet.

    Raises:
        BundleError: a number is expected, and something else there.
    """
    return _codes(item, values) if item.kind == "category" else _as_float32(item, values)


def _codes(item: Input, values: Sequence[Any]) -> npt.NDArray[np.float32]:
    code = {category: float(index) for index, category in enumerate(item.categories)}
    return np.fromiter((code.get(value, UNKNOWN_CATEGORY) for value in values), dtype=np.float32, count=len(values))


def _as_float32(item: Input, values: Sequence[Any]) -> npt.NDArray[np.float32]:
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "fiub":
        return values.astype(np.float32)
    for value in values:  # NumPy would read the text "12" as a number, and a list of one as its content
        if value is not None and not isinstance(value, NUMBERS):
            raise BundleError(f"column {item.name!r} must hold numbers, but holds {value!r}")
    try:
        return np.array([np.nan if value is None else value for value in values], dtype=np.float32)
    except OverflowError:
        raise BundleError(f"column {item.name!r} must hold numbers, but holds one beyond every float") from None
