"""The columns of an input: which are read, of what type they must be, and which the predictions repeat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fairlead.errors import ScoringError, SourceError
from fairlead.features.training_set import ASKED_AT as MOMENT
from fairlead.packaging.signature import Matrix, Signature
from fairlead.ports import TableStore
from fairlead.scoring.source import Source
from fairlead.spec.dataset import TableSpec, did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

ASKED_AT = "asked_at"
ROW = "row"
"""The row's number in the input, from 0."""
OWN = (ROW, ASKED_AT, "score", "decision", "model", "version", "scored_at")
"""The columns of predictions beside those that name the row."""


@dataclass(frozen=True)
class Layout:
    """What is read from an input, and as what."""

    types: "Mapping[str, pa.DataType]"
    """Column → the type in which it is used."""
    repeated: Sequence[str]
    """Columns that the predictions repeat."""

    @property
    def asks(self) -> bool:
        """The input says when each row is asked about."""
        return ASKED_AT in self.types

    def cast(self, chunk: "pa.Table", first: int, label: str) -> "pa.Table":
        """A chunk in the types of the layout; `first` is the number of its first row.

        Raises:
            SourceError: a value does not fit its column's type, or a row does not say when it is asked about.
        """
        import pyarrow as pa

        arrays = []
        for name, kind in self.types.items():
            try:
                arrays.append(_cast(chunk[name], kind))
            except pa.ArrowException as error:
                raise SourceError(f"{label}: column {name!r} must hold {kind}, but: {error}") from None
        table = pa.table(arrays, names=list(self.types))
        if self.asks and table[ASKED_AT].null_count:
            row = first + table[ASKED_AT].to_pylist().index(None)
            raise SourceError(f"{label}: column {ASKED_AT!r} must hold an instant a row, but row {row} is null")
        return table


def layout(
    source: Source, signature: Signature, keys: "Mapping[str, pa.DataType]", table: TableSpec, keep: Sequence[str]
) -> Layout:
    """What to read from an input.

    Args:
        source: the input.
        signature: what the model takes.
        keys: entity key → its type in the feature tables.
        table: of which the rows are that the model was trained on; the columns that name a row there are repeated.
        keep: further columns to repeat.

    Raises:
        SourceError: a column is missing, or its type is not what the model takes.
        ScoringError: a column that is to be repeated has the name of a column of predictions.
    """
    import pyarrow as pa

    types: dict[str, pa.DataType] = {}
    for name in signature.request_columns:
        types[name] = _wanted(source, signature, keys, name)
    if ASKED_AT in source.schema.names:
        types[ASKED_AT] = _moments(source)
    names = table.primary_key if set(table.primary_key) <= set(source.schema.names) else []
    private = {name for name, rule in {**table.personal, **signature.personal}.items() if rule != "keep"}
    repeated = [name for name in [*names, *signature.entities] if name not in private]
    repeated = list(dict.fromkeys([*repeated, *keep]))
    for name in repeated:
        if name in OWN:
            raise ScoringError(f"column {name!r} of {source.label} must have another name: predictions have one of it")
        types.setdefault(name, _plain(_field(source, name).type))
    return Layout(types, repeated)


def key_types(signature: Signature, tables: TableStore, versions: Mapping[str, int]) -> "dict[str, pa.DataType]":
    """Entity key → its type in the feature tables."""
    schemas = [tables.schema(name, version) for name, version in versions.items()]
    found = {field.name: _plain(field.type) for schema in schemas for field in schema}
    return {name: found[name] for name in signature.entities if name in found}


def as_frame(rows: "pa.Table", moments: "pa.ChunkedArray", signature: Signature) -> "pd.DataFrame":
    """What a caller would send, as `FeatureStore.historical` takes it."""
    import pandas as pd
    import pyarrow as pa

    asked = rows.select(signature.request_columns).append_column(MOMENT, moments)
    whole = {pa.int64(): pd.Int64Dtype()}  # a key with gaps stays a whole number
    frame: pd.DataFrame = asked.to_pandas(types_mapper=whole.get)
    return frame


def check_finite(matrix: Matrix, signature: Signature, first: int, label: str) -> None:
    """Refuse what the endpoint refuses: a number of the caller's that is infinite, or too large for float32.

    Raises:
        SourceError: names the column and the row.
    """
    sent = [index for index, item in enumerate(signature.inputs) if item.source == "request"]
    infinite = np.argwhere(np.isinf(matrix[:, sent]))
    if len(infinite):
        row, index = infinite[0].tolist()
        name = signature.inputs[sent[index]].name
        raise SourceError(
            f"{label}: column {name!r} must hold finite numbers of float32, but row {first + row} does not"
        )


def _wanted(source: Source, signature: Signature, keys: "Mapping[str, pa.DataType]", name: str) -> "pa.DataType":
    """The type of a request column or key, after a look at what the input has there."""
    import pyarrow as pa
    from pyarrow import types as kinds

    field = _field(source, name)
    found = _plain(field.type)
    inputs = {item.name: item.kind for item in signature.inputs if item.source == "request"}
    if inputs.get(name) == "category":
        expected, fits = pa.string(), kinds.is_string(found)
    elif name in signature.entities:
        expected = keys.get(name, found if kinds.is_string(found) else pa.int64())
        fits = found == expected
    else:
        expected, fits = pa.float64(), found in (pa.int64(), pa.float64(), pa.bool_())
    if not fits and not kinds.is_null(found):
        words = {pa.string(): "text", pa.int64(): "whole numbers", pa.float64(): "numbers"}[expected]
        raise SourceError(f"{source.label}: column {name!r} must hold {words}, but is {field.type}")
    return expected


def _moments(source: Source) -> "pa.DataType":
    import pyarrow as pa

    found = _field(source, ASKED_AT).type
    if not pa.types.is_timestamp(found):
        raise SourceError(f"{source.label}: column {ASKED_AT!r} must hold timestamps in UTC, but is {found}")
    return pa.timestamp("us", "UTC")


def _field(source: Source, name: str) -> "pa.Field":
    if name not in source.schema.names:
        raise SourceError(f"{source.label} must have the column {name!r}" + did_you_mean(name, source.schema.names))
    return source.schema.field(name)


def _plain(kind: "pa.DataType") -> "pa.DataType":
    """One type for each kind of value: text, whole numbers, numbers, instants; anything else stays what it is."""
    import pyarrow as pa
    from pyarrow import types as kinds

    if kinds.is_dictionary(kind):
        return _plain(kind.value_type)
    if kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind):
        return pa.string()
    if kinds.is_integer(kind):
        return pa.int64()
    if kinds.is_timestamp(kind):
        return pa.timestamp("us", "UTC")
    return pa.float64() if kinds.is_floating(kind) else kind


def _cast(values: "pa.ChunkedArray", kind: "pa.DataType") -> "pa.ChunkedArray":
    import pyarrow as pa

    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_integer(values.type) and pa.types.is_floating(kind):
        return values.cast(kind, safe=False)  # beyond 2^53 to the nearest, as everywhere on the way to float32
    if pa.types.is_timestamp(values.type):
        return values.cast(kind, safe=False)  # pandas writes nanoseconds
    return values.cast(kind)
