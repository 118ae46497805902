"""Readers of sources: one function a scheme fetches bytes, one a format makes a table of them."""

import gzip
import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from fairlead.errors import SourceError
from fairlead.spec.dataset import ColumnType, SourceSpec, TableSpec, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa


LARGEST_BLOCK = 2**31 - 1
"""Arrow counts the bytes of a block in 32 bits."""


@dataclass(frozen=True)
class Fetched:
    """The bytes of a source as they were found."""

    uri: str
    content: bytes

    @property
    def sha256(self) -> str:
        """Hex digest of the bytes, before any unpacking."""
        return hashlib.sha256(self.content).hexdigest()


def fetch(source: SourceSpec) -> Fetched:
    """Fetch the bytes of a source.

    Raises:
        SourceError: no reader for the scheme, or nothing there.
    """
    scheme = urlsplit(source.uri).scheme
    if scheme not in FETCHERS:
        raise SourceError(f"no reader for {scheme}:// in {source.uri}" + did_you_mean(scheme, FETCHERS))
    return Fetched(source.uri, FETCHERS[scheme](source.uri))


def _fetch_package(uri: str) -> bytes:
    parts = urlsplit(uri)
    try:
        distribution = metadata.distribution(parts.netloc)
    except (metadata.PackageNotFoundError, ValueError):
        raise SourceError(f"{uri}: the package {parts.netloc!r} is not installed") from None
    # Read as a file, not imported: a data package may not be importable, and need not be.
    path = Path(str(distribution.locate_file(f"{parts.netloc}{parts.path}")))
    return _read(uri, path)


def _fetch_file(uri: str) -> bytes:
    return _read(uri, Path(unquote(urlsplit(uri).path)))


def _read(uri: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"{uri}: cannot read {path}: {error.strerror}") from None


FETCHERS: Mapping[str, Callable[[str], bytes]] = {"package": _fetch_package, "file": _fetch_file}


def parse(fetched: Fetched, table: str, spec: TableSpec) -> "pa.Table":
    """Read the declared columns, in the declared order and types.

    Raises:
        SourceError: truncated, other columns than declared, or a value of another type.
    """
    import pyarrow as pa
    from pyarrow import csv

    content = _unpack(fetched)
    where = f"{table}: {fetched.uri}"
    first, newline, _ = content.partition(b"\n")
    header = first.decode("utf-8", "replace").strip("\r\ufeff")
    if not header:
        raise SourceError(f"{where}: the first line must name the columns, but is empty")
    names = [name.strip('"') for name in header.split(",")]
    _check_header(where, names, spec)
    if not newline:
        raise SourceError(f"{where}: has no rows")
    options = csv.ConvertOptions(
        column_types={name: arrow_type(kind) for name, kind in spec.columns.items()},
        null_values=spec.source.null_values,
        strings_can_be_null=True,
        include_columns=list(spec.columns),
        timestamp_parsers=[csv.ISO8601],
    )
    # One thread and one block, so that a message can say in which row the trouble is.
    reading = csv.ReadOptions(use_threads=False, block_size=min(len(content) + 1, LARGEST_BLOCK))
    parsing = csv.ParseOptions(newlines_in_values=True)
    try:
        rows: pa.Table = csv.read_csv(io.BytesIO(content), reading, parsing, options)
    except pa.ArrowInvalid as error:
        raise SourceError(f"{where}: {_explain(str(error), names)}") from None
    if rows.num_rows == 0:
        raise SourceError(f"{where}: has no rows")
    return rows


def arrow_type(kind: ColumnType) -> "pa.DataType":
    """The Arrow type of a declared type; a timestamp is UTC, in microseconds, as in Delta."""
    import pyarrow as pa

    types = {"bool": pa.bool_(), "int64": pa.int64(), "float64": pa.float64(), "string": pa.string()}
    return types.get(kind) or pa.timestamp("us", tz="UTC")


def _unpack(fetched: Fetched) -> bytes:
    try:
        if fetched.uri.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(fetched.content)) as archive:
                return archive.read(archive.namelist()[0])
        if fetched.uri.endswith(".gz"):
            return gzip.decompress(fetched.content)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, IndexError) as error:
        raise SourceError(f"{fetched.uri}: is truncated or damaged: {error}") from None
    return fetched.content


def _check_header(where: str, found: list[str], spec: TableSpec) -> None:
    missing = [name for name in spec.columns if name not in found]
    if missing:
        name = missing[0]
        near = did_you_mean(name, [other for other in found if other not in spec.columns])
        raise SourceError(
            f"{where}: must have the column {name!r}{near.replace('does not exist', 'is not in the file')}"
        )
    unknown = [name for name in found if name not in spec.columns]
    if unknown:
        raise SourceError(f"{where}: has columns that are not declared: {', '.join(unknown)}")
    if len(found) != len(set(found)):
        raise SourceError(f"{where}: has a column twice: {', '.join(found)}")


def _explain(message: str, header: list[str]) -> str:
    """On one line; Arrow says `In CSV column #3`, people look for names."""
    message = " ".join(message.split())
    head, _, rest = message.partition("CSV column #")
    number, _, tail = rest.partition(":")
    if number.isdigit() and int(number) < len(header):
        return f"{head.replace('In ', '')}column {header[int(number)]!r}:{tail}".strip()
    return message
