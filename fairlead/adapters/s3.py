"""S3 as AWS's own tools find it: credentials, region and endpoint come from their variables.

Two libraries read it here, deltalake and Arrow, and each leaves out something that AWS's tools know by themselves.
"""

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    import pyarrow as pa

SCHEME = "s3://"
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Unset: Amazon's."""
CONNECT_SECONDS, REQUEST_SECONDS = 5, 60
RETRY_SECONDS = 60
"""How long deltalake repeats a request that failed; its own choice would be three minutes."""


def in_s3(uri: str) -> bool:
    """Whether a place is in S3."""
    return uri.startswith(SCHEME)


def endpoint() -> str | None:
    """The address of the store; None: Amazon's."""
    return next((os.environ[name] for name in ENDPOINT_VARIABLES if os.environ.get(name)), None)


def delta_options(uri: str) -> dict[str, str] | None:
    """What deltalake needs to be told for a table; commits are conditional puts, so that of two writers one fails."""
    if not in_s3(uri):
        return None
    options = {
        "connect_timeout": f"{CONNECT_SECONDS}s",
        "timeout": f"{REQUEST_SECONDS}s",
        "retry_timeout": f"{RETRY_SECONDS}s",
        "conditional_put": "etag",
    }
    found = endpoint()
    if found:
        options |= {"endpoint_url": found, "allow_http": str(found.startswith("http://")).lower()}
    return options


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
