"""What the watch sees of a model's champion now, in its records, the labels that have arrived and its bundle."""

from datetime import datetime

import pandas as pd

from fairlead.adapters.bundles import open_bundles
from fairlead.adapters.delta_records import DeltaRecords
from fairlead.adapters.mlflow import MlflowRegistry
from fairlead.adapters.result_files import ResultFiles
from fairlead.drift.novelty import WINDOW, Known
from fairlead.metrics import UPSTREAM_ALARM
from fairlead.monitors.results import Result
from fairlead.performance.source import label_rows
from fairlead.performance.watch import look as look_at_performance
from fairlead.retraining.signals import Signals
from fairlead.settings import Settings
from fairlead.spec import DatasetSpec, ModelSpec


def look(settings: Settings, model: ModelSpec, dataset: DatasetSpec, now: datetime) -> Signals | None:
    """Measure by an instant; nothing of later is looked at. None without a champion.

    Raises:
        FairleadError: records, labels, the registry or the champion's bundle cannot be read.
    """
    registry = MlflowRegistry(settings)
    champion = registry.champion(model.name) if model.name in registry.models() else None
    if champion is None:
        return None
    spec, version = model.performance, str(champion.version)
    since = now - max(spec.window + spec.longest_delay, WINDOW)
    records = DeltaRecords(settings.tables_uri).read(model.name, since.date(), now.date())
    rows = label_rows(settings, model, dataset)
    labels = rows.filter((rows.known_at <= now) & rows.label.notnull()).to_pandas()
    performance = look_at_performance(records, labels, model, dataset.timezone, now)
    learnt_by = datetime.fromisoformat(champion.as_of)
    folder = open_bundles(settings.bundles_uri).folder(model.name, version)
    broken = upstream_is_broken(ResultFiles(settings.tables_uri).read(model.name, "drift"))
    return Signals(
        at=now,
        version=version,
        decay=next((item.decay for item in performance.versions if item.version == version), None),
        novelty=None if broken else Known.of(folder).novelty(records, version, now),
        labels=len(labels),
        learnt=int((pd.to_datetime(labels["known_at"], utc=True) <= learnt_by).sum()),
    )


def upstream_is_broken(drift: Result | None) -> bool:
    """Whether the last drift job found that what feeds the model is not as it should be: it teaches nothing."""
    alarms = drift.metrics.get(UPSTREAM_ALARM.name, ()) if drift is not None else ()
    return any(item.value for item in alarms)
