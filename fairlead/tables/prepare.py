"""From raw tables to clean ones: derived columns added, the future cut off."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import ibis

from fairlead.errors import SourceError, SpecError
from fairlead.features.definitions import call_by_names
from fairlead.ports import TableStore
from fairlead.spec import DatasetSpec, TableSpec
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
        as_of: rows whose event time is at or after it are left out; tables without event time are whole.

    Raises:
        SpecError: a function is missing, or its result is not of the declared columns.
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
        rows = rows.filter(rows[spec.event_time] < ibis.literal(as_of))
    result = connection.to_pyarrow(rows.order_by(spec.primary_key))
    if result.num_rows == 0:
        raise SourceError(f"{name}: no row happened before {as_of.isoformat()}")
    return _cast(result, name, spec)


def _cast(rows: "pa.Table", name: str, spec: TableSpec) -> "pa.Table":
    import pyarrow as pa

    schema = pa.schema([(column, arrow_type(kind)) for column, kind in spec.all_columns.items()])
    try:
        return rows.cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SpecError(f"table {name}: a derived column is not of its declared type: {error}") from None
