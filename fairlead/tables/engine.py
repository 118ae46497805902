"""The engine that runs Ibis expressions on a laptop: DuckDB, in UTC, without extensions."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fairlead.adapters.s3 import in_s3
from fairlead.adapters.s3_arrow import dataset
from fairlead.ports import TableStore

if TYPE_CHECKING:
    import ibis.expr.types as ir


def connect() -> Any:
    """An Ibis connection whose session runs in UTC: a cast of an instant means the same everywhere."""
    import ibis

    connection = ibis.duckdb.connect()
    connection.raw_sql("SET TimeZone = 'UTC'")
    connection.raw_sql("SET autoinstall_known_extensions = false")
    connection.raw_sql("SET enable_progress_bar = false")  # of queries of seconds, on standard output
    return connection


def open_tables(connection: Any, store: TableStore, versions: Mapping[str, int]) -> "dict[str, ir.Table]":
    """Tables at their versions, by the last part of their name."""
    return {
        name.rpartition("/")[2]: open_files(connection, store.files(name, version), name.replace("/", "__"))
        for name, version in versions.items()
    }


def open_files(connection: Any, files: Sequence[str], name: str) -> "ir.Table":
    """Parquet files of one shape as a table of the connection; one that had the name before is replaced."""
    if files and in_s3(files[0]):
        connection.con.register(name, dataset(files))
        return connection.table(name)
    return connection.read_parquet(files, table_name=name)
