"""Rows to be scored, wherever they lie: Parquet files of one shape, read in their order, a chunk at a time."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fairlead.adapters import s3, s3_arrow
from fairlead.errors import SourceError
from fairlead.lineage.digest import hash_file, hash_json
from fairlead.ports import TableStore

if TYPE_CHECKING:
    import pyarrow as pa

DELTA_LOG = "_delta_log"
REMOTE = "://"
"""In what is no path of this machine."""
READ_BYTES = 2**23
"""A request to S3 while a file is hashed."""
READ_AHEAD = 2
"""Batches that Arrow reads before they are asked for; its default of 16 would be most of the memory."""


@dataclass(frozen=True)
class Source:
    """The files that make up an input, and what it is called in messages."""

    label: str
    files: Sequence[str]
    schema: "pa.Schema"

    @property
    def rows(self) -> int:
        """How many there are, from the files' footers."""
        with _told(self.label):
            return int(self._dataset.count_rows()) if self.files else 0

    def chunks(self, columns: Sequence[str], size: int) -> "Iterator[pa.Table]":
        """All rows in order, `size` at a time; the last chunk may be smaller.

        Raises:
            SourceError: a file is damaged or gone.
        """
        import pyarrow as pa

        held: list[pa.RecordBatch] = []
        count = 0
        for batch in self._batches(columns, size):
            held.append(batch)
            count += batch.num_rows
            while count >= size:
                table = pa.Table.from_batches(held)
                yield table.slice(0, size)
                held, count = table.slice(size).to_batches(), count - size
        if count:
            yield pa.Table.from_batches(held)

    def _batches(self, columns: Sequence[str], size: int) -> "Iterator[pa.RecordBatch]":
        if not self.files:
            return
        with _told(self.label):
            batches = self._dataset.to_batches(
                columns=list(columns), batch_size=size, batch_readahead=READ_AHEAD, fragment_readahead=1
            )
        while True:
            with _told(self.label):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    @cached_property
    def _dataset(self) -> Any:
        import pyarrow.dataset as ds

        if s3.in_s3(self.files[0]):
            return s3_arrow.dataset(self.files, self.schema)
        return ds.dataset(list(self.files), schema=self.schema, format="parquet")


def open_table(store: TableStore, name: str, version: int, label: str) -> Source:
    """A version of a Delta table.

    Raises:
        SourceError: there is none, or its files are not the whole of it.
    """
    schema = store.schema(name, version)
    return Source(label, store.files(name, version), schema)


def open_parquet(place: str) -> Source:
    """A Parquet file, or all `*.parquet` of a folder, in the order of their paths; a path or an `s3://` URI.

    Raises:
        SourceError: nothing is there, a file cannot be read, or the files differ in their columns.
    """
    import pyarrow.parquet as pq

    files = parquet_files(place)
    schema = None
    for file in files:
        with _told(file):
            store, path = _store(file)
            found = pq.read_schema(path, filesystem=store).remove_metadata()
        schema = schema or found
        if dict(_types(found)) != dict(_types(schema)):
            odd = sorted({name for name, _ in set(_types(found)) ^ set(_types(schema))})
            raise SourceError(
                f"the files of {place} must have the same columns, but {file} and {files[0]} differ in {', '.join(odd)}"
            )
    assert schema is not None, "there is a file"
    return Source(place, files, schema)


def digest_of(place: str) -> str:
    """SHA-256 over the content and the order of the Parquet files at a path or an `s3://` URI."""
    files = parquet_files(place)
    with _told(place):
        return hash_json([_hash(file) for file in files])


def parquet_files(place: str) -> list[str]:
    """The file itself, or the folder's files, hidden ones left out.

    Raises:
        SourceError: there are none, or the folder cannot be read.
    """
    with _told(place):
        root, found = _list_remote(place) if REMOTE in place else _list(Path(place))
    if found is None:
        return [place]
    files = [file for file in found if not any(part[0] in "._" for part in file.relative_to(root).parts)]
    if not files:
        raise SourceError(f"{place}: a folder must hold *.parquet files or be a Delta table, but holds neither")
    return [f"s3://{quote(str(file))}" if REMOTE in place else str(file) for file in files]


def _list(path: Path) -> tuple[PurePath, Sequence[PurePath] | None]:
    """The `*.parquet` of a folder; None: it is a file."""
    if path.is_dir():
        return path, sorted(path.rglob("*.parquet"))
    path.stat()
    return path, None


def _list_remote(uri: str) -> tuple[PurePath, Sequence[PurePath] | None]:
    import pyarrow.fs as pafs

    store, root = _store(uri)
    if store.get_file_info(root).type == pafs.FileType.File:
        return PurePosixPath(root), None
    found = store.get_file_info(pafs.FileSelector(root, recursive=True, allow_not_found=True))
    paths = (PurePosixPath(item.path) for item in found if item.type == pafs.FileType.File)
    return PurePosixPath(root), sorted(path for path in paths if path.suffix == ".parquet")


def _store(place: str) -> tuple[Any, str]:
    """Arrow's file system for a place, and the path in it. For S3 it reads AWS's variables."""
    if not s3.in_s3(place):
        return None, place
    return s3_arrow.filesystem(), s3_arrow.path(place).rstrip("/")


def _hash(file: str) -> str:
    store, path = _store(file)
    if store is None:
        return hash_file(Path(path))
    with store.open_input_stream(path, buffer_size=READ_BYTES) as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _types(schema: "pa.Schema") -> list[tuple[str, str]]:
    return [(field.name, str(field.type)) for field in schema]


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn what goes wrong while reading into one message."""
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException) as error:
        reason = (isinstance(error, OSError) and error.strerror) or " ".join(str(error).split())
        raise SourceError(f"cannot read {what}: {reason}") from None
