"""Files in S3 by Arrow. Apart from `s3.py`, which a server imports: it has no Arrow."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from fairlead.adapters.s3 import CONNECT_SECONDS, REQUEST_SECONDS, SCHEME, endpoint

if TYPE_CHECKING:
    import pyarrow as pa


def filesystem() -> Any:
    """Arrow's file system; its paths are `bucket/key`."""
    return _filesystem(endpoint())


@lru_cache  # each one has connections of its own
def _filesystem(address: str | None) -> Any:
    from pyarrow.fs import S3FileSystem

    return S3FileSystem(endpoint_override=address, connect_timeout=CONNECT_SECONDS, request_timeout=REQUEST_SECONDS)


def path(uri: str) -> str:
    """`bucket/key` of an `s3://` URI, as Arrow takes it."""
    return unquote(uri.removeprefix(SCHEME))


def dataset(files: Sequence[str], schema: "pa.Schema | None" = None) -> Any:
    """Parquet files in S3 as one Arrow dataset, which DuckDB scans: only the columns and rows it needs are read.

    DuckDB's own reader of S3 is an extension that it downloads at run time.

    Args:
        files: `s3://` URIs.
        schema: columns that some files may lack; None: those of the first file.
    """
    import pyarrow.dataset as ds

    return ds.dataset([path(file) for file in files], schema=schema, format="parquet", filesystem=filesystem())
