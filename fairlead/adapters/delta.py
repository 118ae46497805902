"""Versioned tables on Delta Lake."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from fairlead.adapters.s3 import delta_options
from fairlead.errors import HomeError, SourceError

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

KEY = "fairlead.key"

UNUSABLE = re.compile(r"[\[\]|^?#\\]|[^\S ]|%[0-9a-fA-F]{2}")
"""What deltalake 1.6 cannot have in a local path: it panics, or writes elsewhere."""

KEEP_LOG = {"delta.logRetentionDuration": "interval 36500 days"}
"""Of tables that are appended to: the log's notes say where each row is from, and its keys what is there already."""

READABLE = {"timestampNtz"}
"""Reader features that leave the Parquet files whole. With deletion vectors or mapped columns they are not."""


class DeltaTables:
    """`TableStore` in a folder or below an `s3://` prefix.

    Threads of one process must not append to tables in S3 at once: deltalake 1.6 opens a table with Python's lock in
    its hand, while the writer of another thread waits for that lock to get its next rows, and both for ever. Processes
    do not disturb each other.

    Rows are never read through `DeltaTable.to_pyarrow_*`: with its default filesystem deltalake 1.6 aborts the
    process at exit. A version's Parquet files are given out instead.
    """

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/")

    def uri(self, name: str) -> str:
        """Where a table lies."""
        return f"{self._root}/{name}"

    def write(self, name: str, rows: "pa.Table", *, key: str, notes: Mapping[str, str]) -> int:
        from deltalake import CommitProperties, write_deltalake
        from deltalake.exceptions import DeltaError

        found = self.find(name, key)
        if found is not None:
            return found
        try:
            if "://" not in self._root:
                self._make_folder(Path(self.uri(name)))
            write_deltalake(
                self.uri(name),
                rows,
                mode="overwrite",
                schema_mode="overwrite",
                storage_options=delta_options(self._root),
                commit_properties=CommitProperties(custom_metadata={KEY: key, **notes}),
            )
        except (OSError, DeltaError) as error:
            raise HomeError(f"cannot write the table {name} to {self.uri(name)}: {_reason(error)}") from None
        version = self.find(name, key)
        assert version is not None, "just written"
        return version

    def append(self, name: str, rows: "pa.RecordBatchReader", *, key: str, notes: Mapping[str, str]) -> int:
        from deltalake import CommitProperties, Transaction, write_deltalake
        from deltalake.exceptions import DeltaError

        table = self._open(name)
        found = _find(table, key)
        if found is not None:
            return found
        # The transaction makes a second writer of the same key fail, if it read the log before the first one wrote. A
        # table that both of them make is another case: there the second one must not try again behind the first.
        commit = CommitProperties(
            custom_metadata={KEY: key, **notes},
            app_transactions=[Transaction(key, 1)],
            max_commit_retries=0 if table is None else None,
        )
        try:
            if "://" not in self._root:
                self._make_folder(Path(self.uri(name)))
            write_deltalake(
                table or self.uri(name),
                rows,
                mode="append",
                schema_mode="merge",
                storage_options=delta_options(self._root),
                configuration=KEEP_LOG,
                commit_properties=commit,
            )
        except (OSError, DeltaError) as error:
            raise HomeError(f"cannot append to the table {name} in {self.uri(name)}: {_reason(error)}") from None
        version = self.find(name, key)
        assert version is not None, "just written"
        return version

    def find(self, name: str, key: str) -> int | None:
        return _find(self._open(name), key)

    def newest(self, name: str) -> int | None:
        table = self._open(name)
        return None if table is None else int(table.version())

    def identity(self, name: str, version: int) -> str:
        return str(self._at(name, version).metadata().id)

    def schema(self, name: str, version: int) -> "pa.Schema":
        import pyarrow as pa

        table = self._at(name, version)
        metadata, features = table.metadata(), set(table.protocol().reader_features or []) - READABLE
        if metadata.configuration.get("delta.columnMapping.mode", "none") != "none":
            features.add("columnMapping")
        what = [f"is partitioned by {metadata.partition_columns}"] if metadata.partition_columns else []
        what += [f"uses {sorted(features)}"] if features else []
        if what:
            raise SourceError(f"a table must be readable from its Parquet files alone, but {self.uri(name)} {what[0]}")
        return pa.schema(table.schema().to_arrow())

    def files(self, name: str, version: int) -> list[str]:
        uris = sorted(self._at(name, version).file_uris())
        return uris if "://" in self._root else [unquote(uri.removeprefix("file://")) for uri in uris]

    def notes(self, name: str, version: int) -> dict[str, str]:
        self._at(name, version)
        newest = self._open(name)
        assert newest is not None, "has a version"
        # Not the history of that version: it is the history of the newest, with the numbers counted from that version.
        entries: list[dict[str, Any]] = newest.history()
        entry = next(item for item in entries if item["version"] == version)
        return {name: value for name, value in entry.items() if isinstance(value, str)}

    def _make_folder(self, folder: Path) -> None:
        unusable = UNUSABLE.search(str(folder))
        if unusable:
            raise HomeError(f"the path of a table must not hold {unusable[0]!r}, but is {folder}")
        folder.mkdir(parents=True, exist_ok=True)

    def _open(self, name: str) -> "DeltaTable | None":
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        try:
            uri, options = self.uri(name), delta_options(self._root)
            return DeltaTable(uri, storage_options=options) if DeltaTable.is_deltatable(uri, options) else None
        except (OSError, DeltaError) as error:
            raise HomeError(f"cannot read the table {name} in {self.uri(name)}: {_reason(error)}") from None

    def _at(self, name: str, version: int) -> "DeltaTable":
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        try:
            return DeltaTable(self.uri(name), version=version, storage_options=delta_options(self._root))
        except OSError as error:
            raise HomeError(f"cannot read the table {name} in {self.uri(name)}: {_reason(error)}") from None
        except DeltaError as error:
            where = f"there is no version {version} of the table {name} in {self._root}"
            raise SourceError(f"{where}: {_reason(error)}") from None


def _find(table: "DeltaTable | None", key: str) -> int | None:
    entries = [] if table is None else table.history()
    return next((int(entry["version"]) for entry in entries if entry.get(KEY) == key), None)


def _reason(error: Exception) -> str:
    """On one line, without the colours and the backtrace that deltalake may add."""
    text = re.sub(r"\x1b\[\d+m|↳", "", str(error))
    return " ".join(text.partition("\n   0: ")[0].split())
