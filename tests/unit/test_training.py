"""Candidates, the search among them, and training: the same in, the same out, and never a look at the test period."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest

from fairlead.errors import TrainingError
from fairlead.evaluation.metrics import roc_auc
from fairlead.features.training_set import TrainingSet
from fairlead.packaging.export import export
from fairlead.packaging.parity import Scorer, measure_parity
from fairlead.packaging.signature import Signature
from fairlead.spec.model import TuningSpec
from fairlead.training.candidates import CANDIDATES
from fairlead.training.fit import (
    TrainingRecord,
    as_columns,
    load_fitted,
    load_record,
    save_fitted,
    signature_of,
    train,
)
from fairlead.training.splits import expanding_folds
from fairlead.training.tuning import TrialRecord, TuningData, best, tune
from tests.unit import training_example as example

EVERY_CANDIDATE = pytest.mark.parametrize("candidate", sorted(CANDIDATES))
FEW: dict[str, dict[str, Any]] = {
    "lightgbm": {"n_estimators": 20, "num_leaves": 7},
    "hist_gradient_boosting": {"max_iter": 20, "max_leaf_nodes": 7},
    "logistic": {"C": 0.5},
}
LOGISTIC = {"logistic": {"C": {"float": [0.001, 10], "log": True}}}


@pytest.fixture(scope="module")
def data() -> TrainingSet:
    return example.training_set()


@pytest.fixture(scope="module")
def past(data: TrainingSet) -> TuningData:
    """What a search may look at."""
    rows = data.part("train")
    signature = signature_of(example.model(), example.dataset(), data)
    folds = list(expanding_folds(rows["event_timestamp"], rows["label_known_at"], folds=2, days=4))
    return TuningData(signature.matrix(as_columns(rows, signature)), rows["label"].to_numpy(np.int64), signature, folds)


def scorer_of(content: bytes) -> Scorer:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda matrix: session.run(["probabilities"], {"features": matrix})[0][:, 1]


def exported(data: TrainingSet, candidate: str) -> bytes:
    made, _ = example.fitted(data, candidate, **FEW[candidate])
    return export(made)


def search(past: TuningData, **spec: Any) -> list[TrialRecord]:
    return tune(TuningSpec.model_validate({"folds": 2, **spec}), past)


def settings_of(trials: list[TrialRecord]) -> list[tuple[str, dict[str, Any]]]:
    return [(trial.candidate, trial.params) for trial in trials]


def timeless(trials: list[TrialRecord]) -> list[TrialRecord]:
    return [trial.model_copy(update={"seconds": 0.0}) for trial in trials]


def trial(number: int, value: float | None, **other: Any) -> TrialRecord:
    return TrialRecord.model_validate(
        {
            "number": number,
            "candidate": "logistic",
            "params": {},
            "value": value,
            "state": "complete",
            "folds": [],
            "seconds": 0,
            **other,
        }
    )


@EVERY_CANDIDATE
def test_a_candidate_beats_chance_on_days_it_has_not_seen(data: TrainingSet, candidate: str):
    made, record = example.fitted(data, candidate, **FEW[candidate])
    later = data.part("test")
    scores = made.scores(record.signature.matrix(as_columns(later, record.signature)))
    assert scores.dtype == np.float64
    assert roc_auc(later["label"], scores) > 0.7


@EVERY_CANDIDATE
def test_the_same_rows_parameters_and_seed_give_the_same_bytes(data: TrainingSet, candidate: str):
    assert exported(data, candidate) == exported(data, candidate)


def test_another_process_gives_the_same_bytes_too(data: TrainingSet):
    script = f"""if True:
        import hashlib
        from fairlead.packaging.export import export
        from tests.unit import training_example as example
        for candidate, params in {FEW}.items():
            made, _ = example.fitted(example.training_set(), candidate, **params)
            print(hashlib.sha256(export(made)).hexdigest())
    """
    # The order of a set of texts, such as the graph's domains, differs with this seed.
    environ = os.environ | {"PYTHONHASHSEED": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environ)
    here = [hashlib.sha256(exported(data, candidate)).hexdigest() for candidate in FEW]
    assert done.stdout.split()[-3:] == here


@EVERY_CANDIDATE
def test_the_domains_of_a_graph_stand_in_the_order_of_their_names(data: TrainingSet, candidate: str):
    domains = [item.domain for item in onnx.load_from_string(exported(data, candidate)).opset_import]
    assert domains == sorted(domains)


@EVERY_CANDIDATE
def test_other_parameters_give_another_model(data: TrainingSet, candidate: str):
    other = {"lightgbm": {"n_estimators": 5}, "hist_gradient_boosting": {"max_iter": 5}, "logistic": {"C": 9.0}}
    made, _ = example.fitted(data, candidate, **FEW[candidate] | other[candidate])
    assert export(made) != exported(data, candidate)


@EVERY_CANDIDATE
def test_the_exported_model_scores_like_the_fitted_one_also_with_holes(data: TrainingSet, candidate: str):
    made, record = example.fitted(data, candidate, **FEW[candidate])
    matrix = record.signature.matrix(as_columns(data.rows, record.signature))
    parity = measure_parity(made.scores, scorer_of(export(made)), matrix, record.signature, record.threshold)
    assert parity.probes == 200 * len(record.signature.inputs)
    assert (parity.max_abs < 1e-6, parity.flipped) == (True, 0)


@EVERY_CANDIDATE
def test_a_column_that_was_never_there_does_no_harm(data: TrainingSet, candidate: str):
    empty = TrainingSet(data.rows.assign(weather__wind_mph=np.nan), data.entities, data.features)
    made, record = example.fitted(empty, candidate, **FEW[candidate])
    matrix = record.signature.matrix(as_columns(data.rows, record.signature))
    parity = measure_parity(made.scores, scorer_of(export(made)), matrix, record.signature, record.threshold)
    assert parity.max_abs < 1e-6


def test_the_same_search_tries_the_same_settings_with_the_same_results(past: TuningData):
    spec = {"sampler": "tpe", "trials": 4, "candidates": LOGISTIC | {"hist_gradient_boosting": {"max_iter": TINY}}}
    first, second = search(past, **spec), search(past, **spec)
    assert timeless(first) == timeless(second)
    assert [item.number for item in first] == [0, 1, 2, 3]


def test_another_seed_tries_other_settings(past: TuningData):
    first, second = (search(past, trials=2, seed=seed, candidates=LOGISTIC) for seed in (1, 2))
    assert settings_of(first) != settings_of(second)


def test_settings_stay_within_their_ranges(past: TuningData):
    space = {"C": {"float": [0.5, 2.0]}, "max_iter": {"int": [300, 302]}}
    trials = search(past, sampler="random", trials=8, candidates={"logistic": space})
    assert all(0.5 <= item.params["C"] <= 2 and 300 <= item.params["max_iter"] <= 302 for item in trials)
    assert len({item.params["max_iter"] for item in trials}) > 1


GRID = {
    "logistic": {"C": {"choice": [0.01, 1.0]}},
    "hist_gradient_boosting": {"max_iter": {"choice": [2, 4]}, "max_leaf_nodes": {"choice": [4, 8]}},
}
TINY = {"int": [2, 4]}


def test_a_grid_tries_each_of_every_candidates_own_settings_once(past: TuningData):
    trials = search(past, sampler="grid", trials=30, candidates=GRID)
    logistic = [("logistic", {"C": strength}) for strength in (0.01, 1.0)]
    trees = [
        ("hist_gradient_boosting", {"max_iter": rounds, "max_leaf_nodes": leaves})
        for rounds in (2, 4)
        for leaves in (4, 8)
    ]
    assert settings_of(trials) == logistic + trees


def test_a_grid_ends_with_the_allowed_trials(past: TuningData):
    assert len(search(past, sampler="grid", trials=3, candidates=GRID)) == 3


def test_random_and_tpe_differ_in_nothing_but_the_sampler(past: TuningData):
    # Optuna's TPE draws its first ten trials at random, so with one seed they are those of the random sampler.
    random, tpe = (search(past, sampler=name, trials=12, candidates=LOGISTIC) for name in ("random", "tpe"))
    assert timeless(random)[:10] == timeless(tpe)[:10]
    assert settings_of(random)[10:] != settings_of(tpe)[10:]


def test_a_hopeless_trial_is_pruned_and_says_what_it_had_seen(past: TuningData):
    hopeless = {"max_iter": {"choice": [1]}, "min_samples_leaf": {"choice": [10_000]}}
    candidates = {
        "logistic": {"C": {"choice": [0.1, 0.2, 0.5, 1.0, 2.0]}},
        "hist_gradient_boosting": hopeless,
    }
    trials = search(past, sampler="grid", candidates=candidates)
    assert [item.state for item in trials] == ["complete"] * 5 + ["pruned"]
    assert (len(trials[-1].folds), trials[-1].value) == (1, 0.5)


def test_a_pruned_trial_is_never_the_best():
    trials = [trial(0, 0.7), trial(1, 0.9, state="pruned"), trial(2, 0.8), trial(3, None)]
    assert best(trials, "roc_auc").number == 2


def test_the_best_trial_has_the_lowest_value_where_lower_is_better():
    assert best([trial(0, 0.7), trial(1, 0.0), trial(2, 0.1)], "log_loss").number == 1


def test_of_equal_trials_the_earlier_is_the_best():
    assert best([trial(0, 0.1), trial(2, 0.8), trial(1, 0.8)], "roc_auc").number == 1


def test_a_trial_that_is_worth_nothing_is_never_the_best():
    nothing = float("nan")
    assert best([trial(0, nothing), trial(1, 0.7), trial(2, nothing)], "roc_auc").number == 1


def test_a_value_of_zero_is_a_value(past: TuningData):
    (fold,) = past.folds[-1:]
    share = np.nan_to_num(past.matrix[:, -1:], nan=0.1)
    labels = np.where(fold.judge, share[:, 0] < 0.5, share[:, 0] >= 0.5).astype(np.int64)
    narrow = Signature(inputs=past.signature.inputs[-1:], entities=[])
    (only,) = search(TuningData(share, labels, narrow, [fold]), trials=1, candidates=LOGISTIC)
    assert (only.value, best([only], "roc_auc")) == (0.0, only)


def test_a_search_in_which_nothing_can_be_judged_is_refused(past: TuningData):
    one_class = past.labels.copy()
    for fold in past.folds:
        one_class[fold.judge] = 0
    unjudged = TuningData(past.matrix, one_class, past.signature, past.folds)
    with pytest.raises(TrainingError, match="none of 2 trials gave a roc_auc"):
        search(unjudged, trials=2, candidates=LOGISTIC)


def test_the_categories_are_those_of_the_training_period_in_alphabetical_order(data: TrainingSet):
    rows = data.rows.copy()
    rows.loc[rows["split"] != "train", "carrier"] = "ZZ"
    signature = signature_of(example.model(), example.dataset(), TrainingSet(rows, data.entities, data.features))
    assert [(item.name, item.kind, item.categories) for item in signature.inputs[:2]] == [
        ("carrier", "category", ["AA", "DL", "UA"]),
        ("hour", "number", []),
    ]
    assert [item.name for item in signature.inputs if item.source == "feature"] == data.features


def trained(data: TrainingSet) -> tuple[bytes, TrainingRecord]:
    candidates = {"lightgbm": {"n_estimators": {"int": [5, 20]}}, "logistic": {"C": {"float": [0.1, 1]}}}
    spec = example.model(tuning={"trials": 3, "candidates": candidates})
    made, record = train(spec, example.dataset(), data)
    return export(made), record.model_copy(update={"trials": timeless(record.trials)})


def test_training_never_looks_at_the_test_period(data: TrainingSet):
    rows = data.rows.copy()
    test = rows["split"] == "test"
    rows.loc[test, "label"] = 1 - rows.loc[test, "label"]
    rows.loc[test, ["carrier", "hour", *data.features]] = ["??", 10**6, -1e9, np.nan]
    assert trained(TrainingSet(rows, data.entities, data.features)) == trained(data)


def test_the_threshold_is_chosen_on_days_that_the_judged_model_has_not_seen(data: TrainingSet):
    rows = data.rows.copy()
    rows.loc[rows["split"] == "validation", "label"] = 1.0
    _, record = trained(data)
    _, generous = trained(TrainingSet(rows, data.entities, data.features))
    assert generous.threshold < record.threshold
    assert (generous.params, generous.trials) == (record.params, record.trials)


def test_a_saved_model_scores_the_same_when_it_is_read_again(data: TrainingSet, tmp_path: Path):
    made, record = example.fitted(data)
    save_fitted(made, record, tmp_path / "fitted")
    matrix = record.signature.matrix(as_columns(data.rows, record.signature))
    np.testing.assert_array_equal(load_fitted(tmp_path / "fitted").scores(matrix), made.scores(matrix))
    assert load_record(tmp_path / "fitted") == record


def test_a_saved_training_set_is_the_same_when_it_is_read_again(data: TrainingSet, tmp_path: Path):
    here = replace(data, timezone="America/New_York")
    here.save(tmp_path / "set")
    again = TrainingSet.load(tmp_path / "set")
    pd.testing.assert_frame_equal(again.rows, here.rows)
    assert replace(again, rows=here.rows) == here


def test_days_begin_at_midnight_where_the_data_is_from(data: TrainingSet):
    rows = data.part("test")[:2].assign(event_timestamp=pd.to_datetime(["2024-03-20T03:59Z", "2024-03-20T04:00Z"]))
    here = replace(data, rows=rows, timezone="America/New_York")
    assert here.days("test") == ["2024-03-19", "2024-03-20"]
