"""From a training set to a fitted model with its threshold."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from fairlead.evaluation.curves import choose_threshold
from fairlead.features.training_set import ASKED_AT, LABEL, LABEL_KNOWN_AT, SPLIT, TrainingSet
from fairlead.packaging.signature import Input, Signature
from fairlead.spec import DatasetSpec, ModelSpec
from fairlead.training.candidates import CANDIDATES, Fitted
from fairlead.training.splits import expanding_folds
from fairlead.training.tuning import TrialRecord, TuningData, best, tune

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

NATIVE_FILE = "native.joblib"
RECORD_FILE = "training.json"


class TrainingRecord(BaseModel):
    """How a model came about."""

    model_config = ConfigDict(frozen=True)

    candidate: str
    params: dict[str, Any]
    signature: Signature
    threshold: float
    """Of the best F1 on the validation period, before that period was learnt from."""
    trials: list[TrialRecord]
    best_trial: int
    rows: dict[str, int]
    """Split → rows."""


def train(model: ModelSpec, dataset: DatasetSpec, training_set: TrainingSet) -> tuple[Fitted, TrainingRecord]:
    """Tune on the training period, choose the threshold on validation, then fit on both.

    Args:
        model: what to train.
        dataset: types of the request columns.
        training_set: rows of the split `test` are not touched.
    """
    past, recent = training_set.part("train"), training_set.part("validation")
    signature = signature_of(model, dataset, training_set)
    matrix, labels = signature.matrix(as_columns(past, signature)), past[LABEL].to_numpy(np.int64)
    folds = list(
        expanding_folds(
            past[ASKED_AT], past[LABEL_KNOWN_AT], folds=model.tuning.folds, days=model.split.validation_days
        )
    )
    trials = tune(model.tuning, TuningData(matrix, labels, signature, folds))
    winner = best(trials, model.tuning.optimise)
    log.info("fitting %s", winner.candidate)

    candidate = CANDIDATES[winner.candidate]
    recent_matrix = signature.matrix(as_columns(recent, signature))
    recent_labels = recent[LABEL].to_numpy(np.int64)
    before = candidate.fit(matrix, labels, signature, winner.params, model.tuning.seed)
    threshold = choose_threshold(recent_labels, before.scores(recent_matrix), rule="max_f1")
    final = candidate.fit(
        np.concatenate([matrix, recent_matrix]),
        np.concatenate([labels, recent_labels]),
        signature,
        winner.params,
        model.tuning.seed,
    )
    record = TrainingRecord(
        candidate=winner.candidate,
        params=winner.params,
        signature=signature,
        threshold=threshold,
        trials=trials,
        best_trial=winner.number,
        rows={str(name): int(count) for name, count in training_set.rows[SPLIT].value_counts().sort_index().items()},
    )
    metric = model.tuning.optimise
    log.info(
        "%s, %s %.3f over %d folds, best of %d trials", winner.candidate, metric, winner.value, len(folds), len(trials)
    )
    return final, record


def signature_of(model: ModelSpec, dataset: DatasetSpec, training_set: TrainingSet) -> Signature:
    """Request columns, then looked-up ones; categories are those of the training period, in alphabetical order."""
    table = dataset.tables[model.rows.table]
    types = table.all_columns
    rows = training_set.part("train")
    inputs = [
        Input(name=name, source="request", kind="category", categories=sorted(rows[name].dropna().unique()))
        if types[name] == "string"
        else Input(name=name, source="request", kind="number", default=model.defaults.get(name))
        for name in model.request
    ]
    inputs += [
        Input(name=name, source="feature", kind="number", default=model.defaults.get(name))
        for name in training_set.features
    ]
    sent = {*model.request, *training_set.entities}
    personal = {name: rule for name, rule in table.personal.items() if name in sent}
    return Signature(inputs=inputs, entities=training_set.entities, personal=personal)


def as_columns(rows: "pd.DataFrame", signature: Signature) -> dict[str, Any]:
    """The columns of a frame that a signature encodes, numbers as float64 and categories as objects."""
    return {
        item.name: rows[item.name].to_numpy(np.float64, na_value=np.nan)
        if item.kind == "number"
        else rows[item.name].to_numpy(object)
        for item in signature.inputs
    }


def save_fitted(fitted: Fitted, record: TrainingRecord, folder: Path) -> None:
    """Write the native model and its record into a new folder."""
    import joblib

    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(fitted, folder / NATIVE_FILE)
    (folder / RECORD_FILE).write_text(record.model_dump_json(indent=2), encoding="utf-8")


def load_fitted(folder: Path) -> Fitted:
    """Read a native model. It is a pickle: only for a run's own artifacts, never for a foreign file."""
    import joblib

    fitted: Fitted = joblib.load(folder / NATIVE_FILE)
    return fitted


def load_record(folder: Path) -> TrainingRecord:
    """Read how a native model came about."""
    return TrainingRecord.model_validate_json((folder / RECORD_FILE).read_bytes())
