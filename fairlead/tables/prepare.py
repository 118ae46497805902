"""From raw tables to clean ones: derived columns added, the future cut off."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import ibis

from fairlead.errors import SourceError, SpecError
from fairlead.features.definitions import call_by_names
from fairlead.ports import TableStore
from fairlead.spec import DatasetSpec, TableSpec
from fairlead.spec.dataset import ColumnType
from fairlead.tables.engine import connect, open_tables
from fairlead.tables.sources import arrow_type

if TYPE_CHECKING:
    from types import ModuleType

    import ibis.expr.types as ir
    import pyarrow as pa


def prepare(
    dataset: DatasetSpec, raw: Mapping[str, int], store: TableStore, module: "ModuleType", as_of: datetime
) -> "dict[str, pa.Table]":
    """Derive the declared columns of every table and keep what had happened by `as_of`.

    Args:
        dataset: what is declared.
        raw: table → version of `<dataset>/raw/<table>`.
        store: where the raw tables are.
        module: `tables.py` of the dataset: one function for each table with derived columns.
        as_of: rows whose event time is at or after it, or that were not complete by then, are left out; one whose
            `known_at` is null (a cancelled flight) will never be more complete. Tables without event time are whole.

    Raises:
        SpecError: a function is missing, or its result is not of the declared columns.
        SourceError: nothing had happened by `as_of`.
    """
    connection = connect()
    tables = open_tables(connection, store, {f"{dataset.name}/raw/{name}": version for name, version in raw.items()})
    return {name: _prepare(connection, name, spec, tables, module, as_of) for name, spec in dataset.tables.items()}


def _prepare(
    connection: Any, name: str, spec: TableSpec, tables: "dict[str, ir.Table]", module: "ModuleType", as_of: datetime
) -> "pa.Table":
    rows = call_by_names(module, name, tables) if spec.derived else tables[name]
    missing = [column for column in spec.all_columns if column not in rows.columns]
    if missing:
        raise SpecError(f"{module.__file__}: {name}() must return the column {missing[0]!r}, as declared")
    rows = rows.select(*spec.all_columns)
    if spec.event_time:
        moment = rows[spec.event_time]
        rows = rows.filter((moment < ibis.literal(as_of)) | moment.isnull())
    if spec.known_at:
        complete = rows[spec.known_at]
        rows = rows.filter((complete <= ibis.literal(as_of)) | complete.isnull())
    result = connection.to_pyarrow(rows.order_by(spec.primary_key))
    if result.num_rows == 0:
        raise SourceError(f"{name}: no row happened before {as_of.isoformat()}")
    return _cast(result, name, spec)


def _cast(rows: "pa.Table", name: str, spec: TableSpec) -> "pa.Table":
    """To the declared width of integers and unit of times, never to another kind: 7 is no instant."""
    import pyarrow as pa

    schema = pa.schema([(column, arrow_type(kind)) for column, kind in spec.all_columns.items()])
    for column, kind in spec.all_columns.items():
        if not _is_kind(rows.schema.field(column).type, kind):
            found = rows.schema.field(column).type
            raise SpecError(f"table {name}: the derived column {column!r} must be of type {kind}, but is {found}")
    try:
        return rows.cast(schema)
    except pa.ArrowInvalid as error:
        raise SpecError(f"table {name}: a derived column is not of its declared type: {error}") from None


def _is_kind(found: "pa.DataType", kind: ColumnType) -> bool:
    from pyarrow import types

    tests = {
        "bool": [types.is_boolean],
        "int64": [types.is_integer],
        "float64": [types.is_floating, types.is_integer, types.is_decimal],
        "string": [types.is_string, types.is_large_string],
        "timestamp": [types.is_timestamp],
    }
    return types.is_null(found) or any(test(found) for test in tests[kind])
