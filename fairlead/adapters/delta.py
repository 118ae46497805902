"""Versioned tables on Delta Lake."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from fairlead.errors import HomeError, SourceError

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

KEY = "fairlead.key"

UNUSABLE = re.compile(r"[\[\]|^?#\\]|[^\S ]|%[0-9a-fA-F]{2}")
"""What deltalake 1.6 cannot have in a local path: it panics, or writes elsewhere."""


class DeltaTables:
    """`TableStore` in a folder.

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
                commit_properties=CommitProperties(custom_metadata={KEY: key, **notes}),
            )
        except (OSError, DeltaError) as error:
            raise HomeError(f"cannot write the table {name} to {self.uri(name)}: {_reason(error)}") from None
        version = self.find(name, key)
        assert version is not None, "just written"
        return version

    def find(self, name: str, key: str) -> int | None:
        table = self._open(name)
        if table is None:
            return None
        return next((int(entry["version"]) for entry in table.history() if entry.get(KEY) == key), None)

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
            return DeltaTable(self.uri(name)) if DeltaTable.is_deltatable(self.uri(name)) else None
        except (OSError, DeltaError) as error:
            raise HomeError(f"cannot read the table {name} in {self.uri(name)}: {_reason(error)}") from None

    def _at(self, name: str, version: int) -> "DeltaTable":
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        try:
            return DeltaTable(self.uri(name), version=version)
        except DeltaError as error:
            where = f"there is no version {version} of the table {name} in {self._root}"
            raise SourceError(f"{where}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """On one line, without the colours and the backtrace that deltalake may add."""
    text = re.sub(r"\x1b\[\d+m|↳", "", str(error))
    return " ".join(text.partition("\n   0: ")[0].split())
