"""Versioned tables on Delta Lake."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.errors import HomeError, SourceError

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

KEY = "fairlead.key"


class DeltaTables:
    """`TableStore` on a folder or an object store.

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

        found = self.find(name, key)
        if found is not None:
            return found
        try:
            if "://" not in self._root:
                Path(self.uri(name)).mkdir(parents=True, exist_ok=True)
            write_deltalake(
                self.uri(name),
                rows,
                mode="overwrite",
                schema_mode="overwrite",
                commit_properties=CommitProperties(custom_metadata={KEY: key, **notes}),
            )
        except OSError as error:
            raise HomeError(f"cannot write the table {name} to {self.uri(name)}: {error}") from None
        version = self.find(name, key)
        assert version is not None, "just written"
        return version

    def find(self, name: str, key: str) -> int | None:
        table = self._open(name)
        if table is None:
            return None
        return next((int(entry["version"]) for entry in table.history() if entry.get(KEY) == key), None)

    def files(self, name: str, version: int) -> list[str]:
        return [uri.removeprefix("file://") for uri in sorted(self._at(name, version).file_uris())]

    def notes(self, name: str, version: int) -> dict[str, str]:
        entries: list[dict[str, Any]] = self._at(name, version).history()
        entry = next(item for item in entries if item["version"] == version)
        return {name: value for name, value in entry.items() if isinstance(value, str)}

    def _open(self, name: str) -> "DeltaTable | None":
        from deltalake import DeltaTable

        return DeltaTable(self.uri(name)) if DeltaTable.is_deltatable(self.uri(name)) else None

    def _at(self, name: str, version: int) -> "DeltaTable":
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        try:
            return DeltaTable(self.uri(name), version=version)
        except DeltaError as error:
            raise SourceError(f"there is no version {version} of the table {name} in {self._root}: {error}") from None
