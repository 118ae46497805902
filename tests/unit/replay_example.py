"""A small year: trips of fifty days, of which the meaning of a column turns in the middle."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from fairlead.features.lookup import LookupPlan
from fairlead.replay.learn import Trainer
from fairlead.replay.year import Year
from fairlead.spec import ModelSpec
from tests.unit import training_example as example

START = datetime(2024, 3, 1, tzinfo=UTC)
FIRST, LAST = date(2024, 3, 20), date(2024, 4, 9)
TURN = datetime(2024, 3, 27, tzinfo=UTC)
ROWS_A_DAY = 120


def model() -> ModelSpec:
    spec = example.model(tuning={"sampler": "grid", "folds": 1})
    changes = {
        "split": {"train_days": 8, "validation_days": 2, "test_days": 2},
        "performance": {"window": "5d", "decay": 0.05, "least_rows": 200},
        "retraining": {"cool_down": "4d", "min_new_labels": 200, "growth": 9, "max_runs_a_month": 9},
    }
    return ModelSpec.model_validate({**spec.model_dump(mode="json", exclude_none=True), **changes})


def year(rows: pd.DataFrame | None = None) -> Year:
    plan = LookupPlan(project="trips", entity_key_serialization_version=3, views=())
    return Year(frame() if rows is None else rows, ["origin"], example.FEATURES, plan, "UTC")


def frame(days: int = 50, seed: int = 1) -> pd.DataFrame:
    """What is late tells the share before `TURN`, and the wind after."""
    rng, rows = np.random.default_rng(seed), days * ROWS_A_DAY
    asked = pd.Series(
        pd.to_datetime(START) + pd.to_timedelta(np.linspace(0, days * 86400, rows, endpoint=False).astype(int), "s")
    )
    share, wind = rng.random(rows), rng.random(rows)
    tells = np.where(asked < TURN, share, wind)
    late = rng.random(rows) < 1 / (1 + np.exp(4 - 7 * tells))
    return pd.DataFrame(
        {
            "carrier": rng.choice(["AA", "DL", "UA"], rows),
            "hour": rng.integers(5, 23, rows),
            "origin": rng.choice(["EWR", "JFK"], rows),
            "row_id": [f"trip-{number}" for number in range(rows)],
            "event_timestamp": asked,
            "label": late.astype(np.float64),
            "label_known_at": asked + timedelta(minutes=90),
            "weather__wind_mph": wind,
            "network__late_share": share,
        }
    )


def trainer(folder: Path, rows: pd.DataFrame | None = None) -> Trainer:
    return Trainer(year(rows), model(), example.dataset(), folder, "test")
