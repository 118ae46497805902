"""The engine that runs Ibis expressions on a laptop: DuckDB, in UTC, without a network."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fairlead.ports import TableStore

if TYPE_CHECKING:
    import ibis.expr.types as ir


def connect() -> Any:
    """An Ibis connection whose session runs in UTC: a cast of an instant means the same everywhere."""
    import ibis

    connection = ibis.duckdb.connect()
    connection.raw_sql("SET TimeZone = 'UTC'")
    connection.raw_sql("SET autoinstall_known_extensions = false")
    return connection


def open_tables(connection: Any, store: TableStore, versions: Mapping[str, int]) -> "dict[str, ir.Table]":
    """Tables at their versions, by the last part of their name."""
    return {
        name.rpartition("/")[2]: connection.read_parquet(store.files(name, version), table_name=name.replace("/", "__"))
        for name, version in versions.items()
    }
