"""Finished chunks, kept aside until all are there: what a killed batch goes on from."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from fairlead.errors import HomeError

if TYPE_CHECKING:
    import pyarrow as pa

BEGUN_FILE = "begun.json"


class Begun(BaseModel):
    """What is decided when a batch first begins, and holds when it goes on."""

    model_config = ConfigDict(frozen=True)

    scored_at: datetime


class Parts:
    """A folder for one batch: a file a chunk, there only when it is whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self) -> Begun:
        """Start, or go on as it was started.

        Raises:
            HomeError: the folder cannot be written.
        """
        path = self.folder / BEGUN_FILE
        with self._written(path):
            if not path.exists():
                self.folder.mkdir(parents=True, exist_ok=True)
                _replace(path, lambda aside: aside.write_text(Begun(scored_at=_now()).model_dump_json()))
            return Begun.model_validate_json(path.read_bytes())

    def has(self, number: int) -> bool:
        """Whether a chunk is done."""
        return self._path(number).exists()

    def save(self, number: int, rows: "pa.Table") -> None:
        """Keep a chunk.

        Raises:
            HomeError: the disk is full, or the folder cannot be written.
        """
        import pyarrow.parquet as pq

        path = self._path(number)
        with self._written(path):
            _replace(path, lambda aside: pq.write_table(rows, aside))

    def stage(self, name: str, write: Any) -> Path:
        """A file of the folder, made by `write(path)` unless it is there."""
        path = self.folder / name
        with self._written(path):
            if not path.exists():
                _replace(path, write)
        return path

    def count(self, column: str, parts: int) -> int:
        """How many rows of all chunks hold true."""
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        tables = (pq.read_table(self._path(number), columns=[column]) for number in range(parts))
        return sum(pc.sum(table[column]).as_py() for table in tables)

    def read(self, count: int) -> "pa.RecordBatchReader":
        """The chunks in order, one after the other."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        def batches() -> "Iterator[pa.RecordBatch]":
            for number in range(count):
                yield from pq.read_table(self._path(number)).to_batches()

        return pa.RecordBatchReader.from_batches(pq.read_schema(self._path(0)), batches())

    def remove(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}.parquet"

    @contextmanager
    def _written(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise HomeError(f"cannot write {path}: {error.strerror or error}; what is done is kept there") from None


def _replace(path: Path, write: Any) -> None:
    """Write aside, and rename once the bytes are on the disk: a part that is there is whole."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(aside)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _now() -> datetime:
    return datetime.now(UTC)
