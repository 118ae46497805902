"""How many labels are new since the champion learnt: what a retraining would have to learn from."""

from datetime import datetime
from typing import TYPE_CHECKING

from fairlead.adapters.delta import DeltaTables
from fairlead.adapters.mlflow import MlflowRegistry
from fairlead.features.definitions import call_by_names, load_module
from fairlead.settings import Settings
from fairlead.spec import DatasetSpec, ModelSpec
from fairlead.tables.engine import connect, open_tables
from fairlead.tables.ingest import fingerprints, ingest

if TYPE_CHECKING:
    import ibis.expr.types as ir


def count_new_labels(settings: Settings, model: ModelSpec, dataset: DatasetSpec, as_of: datetime) -> int:
    """Labels of the source that became known after the champion's training, and by an instant.

    Without a champion all labels are new. The source is read as it is now; unchanged, that costs nothing.

    Raises:
        SourceError: a source cannot be read.
    """
    store = DeltaTables(settings.tables_uri)
    sources = fingerprints(dataset)
    tables = {item.name: item.version for item in ingest(dataset, store, expected=sources, code_version="labels")}
    rows = _rows(settings, model, dataset, store, tables)
    known = rows[model.label.known_at]
    wanted = rows.filter((known <= as_of) & rows[model.label.column].notnull())
    since = _trained_as_of(settings, model)
    if since is not None:
        wanted = wanted.filter(wanted[model.label.known_at] > since)
    return int(wanted.count().execute())


def _rows(
    settings: Settings, model: ModelSpec, dataset: DatasetSpec, store: DeltaTables, versions: dict[str, int]
) -> "ir.Table":
    named = {f"{dataset.name}/raw/{name}": version for name, version in versions.items()}
    tables = open_tables(connect(), store, named)
    name = model.rows.table
    if not dataset.tables[name].derived:
        return tables[name]
    return call_by_names(load_module(settings.repo, dataset.name, "tables"), name, tables)


def _trained_as_of(settings: Settings, model: ModelSpec) -> datetime | None:
    registry = MlflowRegistry(settings)
    if model.name not in registry.models():
        return None
    champion = registry.champion(model.name)
    return datetime.fromisoformat(champion.as_of) if champion else None
