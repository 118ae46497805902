"""A small data set with all that training needs: trips of 20 days, of which two columns tell the label."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fairlead.features.training_set import TrainingSet
from fairlead.packaging.package import Origin, package
from fairlead.packaging.parity import Parity
from fairlead.spec import DatasetSpec, ModelSpec
from fairlead.training.candidates import CANDIDATES, Fitted
from fairlead.training.fit import TrainingRecord, as_columns, signature_of
from fairlead.training.splits import Periods
from fairlead.training.tuning import TrialRecord

# On so few rows threads cost more than they save; read when the libraries are first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

START = datetime(2024, 3, 1, tzinfo=UTC)
AS_OF = START + timedelta(days=20)
ORIGIN = Origin(as_of=AS_OF.isoformat(), tables={"trips/clean/trips": 0}, code_version="src-0", lock="lock-0")
FEATURES = ["weather__wind_mph", "network__late_share"]


def dataset() -> DatasetSpec:
    return DatasetSpec.model_validate(
        {
            "name": "trips",
            "description": "Trips.",
            "owner": "data@example.com",
            "license": "CC0-1.0",
            "tables": {
                "trips": {
                    "source": {"uri": "file:///trips.csv"},
                    "columns": {"id": "int64", "carrier": "string", "origin": "string", "hour": "int64"},
                    "derived": {"left_at": "timestamp", "arrived_at": "timestamp", "late": "bool"},
                    "primary_key": ["id"],
                    "event_time": "left_at",
                    "known_at": "arrived_at",
                }
            },
        }
    )


def model(name: str = "trip-delay", tuning: Mapping[str, Any] | None = None, **gates: Any) -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "name": name,
            "description": "Will this trip be late?",
            "owner": "models@example.com",
            "dataset": "trips",
            "task": "binary",
            "features": "trip_v1",
            "request": ["carrier", "hour"],
            "rows": {"table": "trips", "ask_at": "left_at - 1h"},
            "label": {"column": "late", "known_at": "arrived_at"},
            "split": {"train_days": 12, "validation_days": 4, "test_days": 4},
            "tuning": {"trials": 1, "folds": 2, "candidates": {"logistic": {}}, **(tuning or {})},
            "gates": gates,
        }
    )


def training_set(rows: int = 480, seed: int = 1) -> TrainingSet:
    """Rows of 20 days, with holes in every column but the hour."""
    rng = np.random.default_rng(seed)
    asked = pd.Series(pd.to_datetime(START) + pd.to_timedelta(np.linspace(0, 20, rows, endpoint=False), "D"))
    carrier = rng.choice(["AA", "DL", "UA"], rows)
    share, wind = rng.random(rows), rng.gamma(2, 5, rows)
    late = rng.random(rows) < 1 / (1 + np.exp(2.5 - 5 * share - 1.5 * (carrier == "UA")))
    frame = pd.DataFrame(
        {
            "carrier": np.where(rng.random(rows) < 0.05, None, carrier),
            "hour": rng.integers(5, 23, rows),
            "origin": rng.choice(["EWR", "JFK"], rows),
            "row_id": [str(number) for number in range(rows)],
            "event_timestamp": asked,
            "label": late.astype(np.float64),
            "label_known_at": asked + timedelta(minutes=90),
            "weather__wind_mph": np.where(rng.random(rows) < 0.2, np.nan, wind),
            "network__late_share": np.where(rng.random(rows) < 0.05, np.nan, share),
        }
    )
    split = Periods.before(AS_OF, model().split, "UTC").assign(frame["event_timestamp"], frame["label_known_at"])
    return TrainingSet(frame.assign(split=split)[split.notna()].reset_index(drop=True), ["origin"], FEATURES)


def fitted(data: TrainingSet, candidate: str = "logistic", **params: Any) -> tuple[Fitted, TrainingRecord]:
    """A model without a search, and the record that the search would leave."""
    signature, past = signature_of(model(), dataset(), data), data.part("train")
    matrix = signature.matrix(as_columns(past, signature))
    trial = TrialRecord(
        number=0, candidate=candidate, params=params, value=0.75, state="complete", folds=[0.7, 0.8], seconds=0.1
    )
    record = TrainingRecord(
        candidate=candidate,
        params=params,
        signature=signature,
        threshold=0.5,
        trials=[trial],
        best_trial=0,
        rows={"test": 96, "train": 288, "validation": 96},
    )
    return CANDIDATES[candidate].fit(matrix, past["label"].to_numpy(np.int64), signature, params, 13), record


def packaged(folder: Path, data: TrainingSet, spec: ModelSpec | None = None) -> tuple[TrainingRecord, Parity]:
    """Write a bundle into a folder."""
    made, record = fitted(data)
    return record, package(spec or model(), made, record, data, ORIGIN, folder)
