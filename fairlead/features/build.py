"""From clean tables to versioned feature tables."""

import logging
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fairlead.errors import FeatureError
from fairlead.features.definitions import call_by_names, functions
from fairlead.lineage.digest import hash_json
from fairlead.ports import TableStore
from fairlead.tables.engine import connect, open_tables

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

KNOWN_AT = "known_at"


def build_features(
    dataset: str, clean: Mapping[str, int], store: TableStore, module: ModuleType, code_version: str
) -> dict[str, int]:
    """Compute every feature table of a dataset and write those that are not there yet.

    Args:
        dataset: its name.
        clean: table → version of `<dataset>/clean/<table>`.
        store: where tables are.
        module: `features.py` of the dataset: each public function is a feature table.
        code_version: the code that computes them; other code makes other versions.

    Returns:
        `<dataset>/features/<table>` → version.

    Raises:
        FeatureError: a result has no `known_at`, or one that is null.
    """
    connection = connect()
    tables = open_tables(connection, store, {f"{dataset}/clean/{name}": version for name, version in clean.items()})
    versions = {}
    for name in functions(module):
        target = f"{dataset}/features/{name}"
        log.info("%s", name)
        key = hash_json({"clean": dict(clean), "code": code_version})
        found = store.find(target, key)
        if found is None:
            rows = _compute(connection, call_by_names(module, name, tables), name, module)
            found = store.write(target, rows, key=key, notes={"code_version": code_version})
        versions[target] = found
    log.info("%d feature tables", len(versions))
    return versions


def _compute(connection: Any, expression: Any, name: str, module: ModuleType) -> "pa.Table":
    if KNOWN_AT not in expression.columns:
        raise FeatureError(f"{module.__file__}: {name}() must return the column {KNOWN_AT!r}")
    # A total order, so that the same input gives the same files.
    rows: pa.Table = connection.to_pyarrow(expression.order_by(list(expression.columns)))
    unknown = rows.column(KNOWN_AT).null_count
    if unknown:
        raise FeatureError(f"{module.__file__}: {name}() gives {unknown} of {rows.num_rows} rows without {KNOWN_AT}")
    return rows
