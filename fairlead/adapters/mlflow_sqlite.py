"""MLflow's registry in SQLite, read without MLflow, whose import alone takes seconds."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

SCHEME = "sqlite:///"
_DELETED = "Deleted_Internal"
"""MLflow keeps the row of a deleted version, in this stage."""


@dataclass(frozen=True)
class StoredVersion:
    """A version as MLflow keeps it, under the names of MLflow's own entity."""

    name: str
    version: str
    run_id: str
    creation_timestamp: int
    tags: dict[str, str]
    aliases: list[str]


class SqliteReader:
    """Reads the database, and neither makes nor changes one. A database that is not there holds nothing."""

    def __init__(self, tracking_uri: str) -> None:
        self._path = Path(tracking_uri.removeprefix(SCHEME))

    def models(self) -> list[str]:
        with self._connection() as connection:
            return [name for (name,) in _rows(connection, "SELECT name FROM registered_models ORDER BY name")]

    def versions(self, model: str) -> list[StoredVersion]:
        """All versions of a model, newest first."""
        query = (
            "SELECT version, run_id, creation_time FROM model_versions "
            "WHERE name = ? AND current_stage != ? ORDER BY version DESC"
        )
        with self._connection() as connection:
            return [
                StoredVersion(
                    name=model,
                    version=str(version),
                    run_id=run_id,
                    creation_timestamp=created,
                    tags=dict(_rows(connection, f"SELECT key, value FROM model_version_tags {_OF}", model, version)),
                    aliases=[
                        alias
                        for (alias,) in _rows(
                            connection, f"SELECT alias FROM registered_model_aliases {_OF}", model, version
                        )
                    ],
                )
                for version, run_id, created in _rows(connection, query, model, _DELETED)
            ]

    def artifacts(self, run_id: str) -> Path | None:
        """The folder of a run's artifacts; None where it is not on this machine's disk."""
        with self._connection() as connection:
            found = _rows(connection, "SELECT artifact_uri FROM runs WHERE run_uuid = ?", run_id)
        parts = urlsplit(found[0][0]) if found else None
        return Path(unquote(parts.path)) if parts and parts.scheme in ("", "file") else None

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection | None]:
        if not self._path.is_file():
            yield None
            return
        connection = sqlite3.connect(f"file:{quote(str(self._path))}?mode=ro", uri=True)
        try:
            yield connection
        finally:
            connection.close()


_OF = "WHERE name = ? AND version = ?"


def _rows(connection: sqlite3.Connection | None, query: str, *values: Any) -> list[tuple[Any, ...]]:
    if connection is None:
        return []
    try:
        return connection.execute(query, values).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):  # a run that was killed while it made the database
            return []
        raise
