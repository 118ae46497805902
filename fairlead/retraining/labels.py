"""How many labels are new since the champion learnt: what a retraining would have to learn from."""

from datetime import datetime

from fairlead.adapters.mlflow import MlflowRegistry
from fairlead.performance.source import label_rows
from fairlead.settings import Settings
from fairlead.spec import DatasetSpec, ModelSpec


def count_new_labels(settings: Settings, model: ModelSpec, dataset: DatasetSpec, as_of: datetime) -> int:
    """Labels of the source that became known after the champion's training, and by an instant.

    Without a champion all labels are new.

    Raises:
        SourceError: a source cannot be read.
    """
    rows = label_rows(settings, model, dataset)
    wanted = rows.filter((rows.known_at <= as_of) & rows.label.notnull())
    since = _trained_as_of(settings, model)
    if since is not None:
        wanted = wanted.filter(wanted.known_at > since)
    return int(wanted.count().execute())


def _trained_as_of(settings: Settings, model: ModelSpec) -> datetime | None:
    registry = MlflowRegistry(settings)
    if model.name not in registry.models():
        return None
    champion = registry.champion(model.name)
    return datetime.fromisoformat(champion.as_of) if champion else None
