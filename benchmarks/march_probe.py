"""What looked-up features are worth: trained on January and February, asked about all of March.

The same gradient boosting, once on the columns that a caller knows alone (the probe) and once on all features, through
the project's own tables, feature tables and point-in-time join. Prints the ROC AUC of both.
"""

import argparse
import json
import tempfile
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np

from fairlead.adapters.delta import DeltaTables
from fairlead.adapters.feast import FeastFeatures
from fairlead.evaluation.metrics import roc_auc
from fairlead.features.build import build_features
from fairlead.features.definitions import load_module
from fairlead.features.training_set import LABEL, TrainingSet, build_training_set
from fairlead.packaging.signature import Signature
from fairlead.settings import find_repo, laptop
from fairlead.spec import ModelSpec, load_dataset, load_model
from fairlead.spec.model import SplitSpec
from fairlead.tables.clean import write_clean
from fairlead.tables.ingest import fingerprints, ingest
from fairlead.tables.prepare import prepare
from fairlead.training.candidates import CANDIDATES
from fairlead.training.fit import as_columns, signature_of
from fairlead.training.splits import midnight

PARAMS = {
    "n_estimators": 150,
    "num_leaves": 15,
    "learning_rate": 0.05,
    "min_child_samples": 100,
    "feature_fraction": 0.5,
}
GOAL = 0.72


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    training_set, model = quarter()
    result = {
        "request columns alone": score(training_set, model, True),
        "all features": score(training_set, model, False),
    }
    print(f"lightgbm {version('lightgbm')}, {PARAMS}")
    for name, value in result.items():
        print(f"{name:<22} ROC AUC {value:.4f}")
    print(f"{'goal':<22} ROC AUC {GOAL:.4f}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2), encoding="utf-8")


def quarter() -> tuple[TrainingSet, ModelSpec]:
    """January and February as train and validation, March as test."""
    repo = find_repo()
    model = load_model(repo / "pipelines" / "models" / "flight-delay.yaml")
    model = model.model_copy(update={"split": SplitSpec(train_days=52, validation_days=7, test_days=31)})
    dataset = load_dataset(repo / "feature_repo" / model.dataset / "dataset.yaml")
    as_of = midnight(date(2013, 4, 1), dataset.timezone)
    with tempfile.TemporaryDirectory() as home:
        settings = laptop(Path(home), repo)
        Path(settings.feast_uri).mkdir()
        store = DeltaTables(settings.tables_uri)
        tables = ingest(dataset, store, expected=fingerprints(dataset), code_version="benchmark")
        raw = {table.name: table.version for table in tables}
        rows = prepare(dataset, raw, store, load_module(repo, dataset.name, "tables"), as_of)
        clean = write_clean(dataset, rows, raw, store, as_of=as_of.isoformat(), code_version="benchmark")
        features = build_features(dataset.name, clean, store, load_module(repo, dataset.name, "features"), "benchmark")
        feast = FeastFeatures(settings, dataset.name)
        feast.apply()
        training_set = build_training_set(model, dataset, clean, features, store, feast, as_of)
        print({name: len(training_set.part(name)) for name in ("train", "validation", "test")})
        return training_set, model


def score(training_set: TrainingSet, model: ModelSpec, request_only: bool) -> float:
    """ROC AUC on the test period."""
    dataset = load_dataset(find_repo() / "feature_repo" / model.dataset / "dataset.yaml")
    whole = signature_of(model, dataset, training_set)
    inputs = [item for item in whole.inputs if item.source == "request" or not request_only]
    signature = Signature(inputs=inputs, entities=[])
    past = training_set.rows[training_set.rows["split"] != "test"]
    test = training_set.part("test")
    fitted = CANDIDATES["lightgbm"].fit(
        signature.matrix(as_columns(past, signature)), past[LABEL].to_numpy(np.int64), signature, PARAMS, seed=13
    )
    return roc_auc(test[LABEL].to_numpy(np.int64), fitted.scores(signature.matrix(as_columns(test, signature))))


if __name__ == "__main__":
    main()
