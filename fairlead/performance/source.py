"""Labels as a dataset's source has them now, each with the moment at which it became known."""

from typing import TYPE_CHECKING

from fairlead.adapters.delta import DeltaTables
from fairlead.features.definitions import call_by_names, load_module
from fairlead.settings import Settings
from fairlead.spec import DatasetSpec, ModelSpec
from fairlead.tables.engine import connect, open_tables
from fairlead.tables.ingest import fingerprints, ingest

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd


def label_rows(settings: Settings, model: ModelSpec, dataset: DatasetSpec) -> "ir.Table":
    """`key` (the row's primary key, joined by `-`: what a request must have as its id), `label` and `known_at`.

    The source is ingested as it is now; unchanged, that reads it and writes nothing.

    Raises:
        SourceError: a source cannot be read.
    """
    import ibis

    store, sources = DeltaTables(settings.tables_uri), fingerprints(dataset)
    tables = ingest(dataset, store, expected=sources, code_version="labels")
    opened = open_tables(connect(), store, {f"{dataset.name}/raw/{item.name}": item.version for item in tables})
    name = model.rows.table
    rows = opened[name]
    if dataset.tables[name].derived:
        rows = call_by_names(load_module(settings.repo, dataset.name, "tables"), name, opened)
    return rows.select(
        key=ibis.literal("-").join([rows[column].cast("string") for column in dataset.tables[name].primary_key]),
        label=rows[model.label.column].cast("float64"),
        known_at=rows[model.label.known_at],
    )


def labels_of(settings: Settings, model: ModelSpec, dataset: DatasetSpec, keys: "pd.Series[str]") -> "pd.DataFrame":
    """Those of some predictions, as `label_rows`.

    Raises:
        SourceError: a source cannot be read.
    """
    import ibis

    rows = label_rows(settings, model, dataset)
    wanted = ibis.memtable(keys.drop_duplicates().to_frame("key"))
    found: pd.DataFrame = rows.semi_join(wanted, "key").to_pandas()
    return found
