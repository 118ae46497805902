"""From sources to raw tables: versioned, with where each came from."""

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from fairlead.errors import SourceError
from fairlead.lineage.digest import hash_text
from fairlead.ports import TableStore
from fairlead.spec import DatasetSpec
from fairlead.tables.sources import Fetched, fetch, parse

if TYPE_CHECKING:
    import pyarrow as pa


log = logging.getLogger(__name__)


class IngestedTable(BaseModel):
    """One raw table and its provenance."""

    model_config = ConfigDict(frozen=True)

    name: str
    source: str
    sha256: str
    rows: int
    columns: int
    version: int
    ingested_at: str
    code_version: str
    reused: bool
    """The source was ingested before, unchanged: no new version was written."""


def fingerprints(dataset: DatasetSpec) -> dict[str, str]:
    """Table → SHA-256 of its source as it is now; a pipeline's cache cannot see a source's content without it."""
    return {name: fetch(table.source).sha256 for name, table in dataset.tables.items()}


def ingest(
    dataset: DatasetSpec, store: TableStore, *, expected: dict[str, str], code_version: str
) -> list[IngestedTable]:
    """Read every source, then write every raw table that is not there yet.

    Args:
        dataset: what to read.
        store: where to write `<dataset>/raw/<table>`.
        expected: SHA-256 that each source must still have.
        code_version: what reads it; kept with the version.

    Raises:
        SourceError: a source is missing, damaged, of another shape, or changed since `expected` was taken. Nothing
            has been written then.
    """
    fetched = {name: fetch(table.source) for name, table in dataset.tables.items()}
    for name, source in fetched.items():
        if expected.get(name) != source.sha256:
            raise SourceError(f"{name}: {source.uri} changed while the run was being planned; run again")
    parsed = {name: parse(source, name, dataset.tables[name]) for name, source in fetched.items()}
    written = [_write(dataset, store, name, fetched[name], rows, code_version) for name, rows in parsed.items()]
    total = sum(table.rows for table in written)
    log.info(
        "%d tables, %s rows%s", len(written), f"{total:,}", "" if any(not t.reused for t in written) else ", unchanged"
    )
    return written


def _write(
    dataset: DatasetSpec, store: TableStore, name: str, source: Fetched, rows: "pa.Table", code_version: str
) -> IngestedTable:
    table = f"{dataset.name}/raw/{name}"
    # The declared shape belongs to the key: the same bytes read with other types are another table.
    shape = json.dumps([dataset.tables[name].columns, dataset.tables[name].source.null_values])
    key = f"{source.sha256}:{hash_text(shape)[:16]}"
    found = store.find(table, key)
    notes = {
        "source": source.uri,
        "sha256": source.sha256,
        "rows": str(rows.num_rows),
        "ingested_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "code_version": code_version,
    }
    version = store.write(table, rows, key=key, notes=notes)
    if found is not None:
        notes = store.notes(table, found)
    return IngestedTable(
        name=name,
        source=source.uri,
        sha256=source.sha256,
        rows=rows.num_rows,
        columns=rows.num_columns,
        version=version,
        ingested_at=notes["ingested_at"],
        code_version=notes["code_version"],
        reused=found is not None,
    )
