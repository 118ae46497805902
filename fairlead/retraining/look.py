"""What the watch sees of a model's champion now, in its records, the labels that have arrived and its bundle."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fairlead.adapters.bundles import open_bundles
from fairlead.adapters.delta_records import DeltaRecords
from fairlead.adapters.mlflow import MlflowRegistry
from fairlead.adapters.result_files import ResultFiles
from fairlead.drift.novelty import WINDOW, novelty, ranges
from fairlead.drift.reference import read_reference, usable
from fairlead.drift.windows import Window, of_window, to_sample
from fairlead.metrics import UPSTREAM_ALARM
from fairlead.monitors.results import Result
from fairlead.packaging.bundle import load_bundle
from fairlead.performance.source import label_rows
from fairlead.performance.watch import look as look_at_performance
from fairlead.retraining.signals import Signals
from fairlead.settings import Settings
from fairlead.spec import DatasetSpec, ModelSpec

if TYPE_CHECKING:
    import pyarrow as pa


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
        novelty=None if broken else novelty_of(records, folder, version, now),
        labels=len(labels),
        learnt=int((pd.to_datetime(labels["known_at"], utc=True) <= learnt_by).sum()),
    )


def upstream_is_broken(drift: Result | None) -> bool:
    """Whether the last drift job found that what feeds the model is not as it should be: it teaches nothing."""
    alarms = drift.metrics.get(UPSTREAM_ALARM.name, ()) if drift is not None else ()
    return any(item.value for item in alarms)


def novelty_of(records: "pa.Table", folder: Path, version: str, now: datetime) -> float | None:
    """The share of a version's rows of the last week with a looked-up number beyond what its bundle's reference holds.

    None: no rows, or none with features.

    Raises:
        FairleadError: the bundle has no reference, or the records do not fit it.
    """
    import pyarrow.compute as pc

    bundle = load_bundle(folder)
    rows = of_window(records.filter(pc.field("version") == version), Window(now - WINDOW, now))
    sample = to_sample(rows, bundle.signature, ())
    kept = usable(bundle.signature)
    numbers = [item.name for item in bundle.signature.looked_up if item.kind == "number" and item.name in kept]
    if not len(sample) or not numbers or any(name not in sample.columns for name in numbers):
        return None
    reference = read_reference(folder, bundle)
    ends = ranges(np.column_stack([reference.columns[name] for name in numbers]).astype(np.float64))
    return novelty(ends, np.column_stack([sample.columns[name] for name in numbers]).astype(np.float64))
