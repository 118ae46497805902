"""The evaluation of a packaged model, from the test rows to what the gates say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict

from fairlead.evaluation.evaluate import EvaluationRecord, evaluate
from fairlead.evaluation.metrics import roc_auc
from fairlead.features.training_set import TrainingSet
from fairlead.packaging.package import package
from fairlead.packaging.parity import Parity
from fairlead.packaging.session import ScoringSession
from fairlead.training.fit import as_columns
from tests.unit import training_example as example

GENEROUS = {
    "roc_auc": {"min": 0.6},
    "expected_calibration_error": {"max": 0.5},
    "champion": {"margin": 0.01},
    "parity": {"max_abs": 1e-5},
    "latency_p99_ms": {"max": 60_000},
    "slices": {"by": ["origin"], "min_rows": 20, "roc_auc": {"min": 0.55}},
}
STRICT = {
    "roc_auc": {"min": 0.999},
    "expected_calibration_error": {"max": 1e-6},
    "parity": {"max_abs": 1e-12},
    "latency_p99_ms": {"max": 1e-9},
    "slices": {"by": ["origin"], "min_rows": 20, "roc_auc": {"min": 0.999}},
}
GATE_OF = {"parity": "parity.max_abs", "slices": "slices.origin.roc_auc"}


@pytest.fixture(scope="module")
def data() -> TrainingSet:
    return example.training_set()


@pytest.fixture(scope="module")
def folder(data: TrainingSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good model's bundle."""
    folder = tmp_path_factory.mktemp("good")
    example.packaged(folder, data)
    return folder


@pytest.fixture(scope="module")
def poor(data: TrainingSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a model that has learnt from shuffled labels."""
    folder = tmp_path_factory.mktemp("poor")
    labels = np.random.default_rng(2).permutation(data.rows["label"])
    shuffled = TrainingSet(data.rows.assign(label=labels), data.entities, data.features)
    made, record = example.fitted(shuffled)
    package(example.model(), made, record, data, example.ORIGIN, folder)
    return folder


def parity(flipped: int = 0) -> Parity:
    return Parity(rows=100, probes=80, max_abs=1e-7, flipped=flipped)


def judge(
    data: TrainingSet, folder: Path, beaten: Path | None = None, near: Parity | None = None, **gates: Any
) -> EvaluationRecord:
    _, record = example.fitted(data)
    champion = None if beaten is None else ("4", beaten)
    return evaluate(example.model(**GENEROUS | gates), folder, record, near or parity(), data, champion)


@pytest.fixture(scope="module")
def evaluation(data: TrainingSet, folder: Path) -> EvaluationRecord:
    return judge(data, folder)


def refused(evaluation: EvaluationRecord) -> list[str]:
    return [gate.name for gate in evaluation.gates if not gate.passed]


def test_what_is_judged_is_the_bundle_on_the_test_period(data: TrainingSet, folder: Path, evaluation: EvaluationRecord):
    test, session = data.part("test"), ScoringSession.open(folder)
    scores = session.scores(session.bundle.signature.matrix(as_columns(test, session.bundle.signature)))
    assert evaluation.rows == len(test)
    assert evaluation.metrics["roc_auc"].value == pytest.approx(roc_auc(test["label"], scores.astype(float)))
    assert evaluation.metrics["base_rate"].value == pytest.approx(test["label"].mean())


def test_every_metric_lies_in_its_interval_by_days(evaluation: EvaluationRecord):
    for interval in evaluation.metrics.values():
        assert interval.low <= interval.value <= interval.high
        assert interval.method == "bootstrap of groups"


def test_the_decisions_and_the_histogram_count_every_row_once(evaluation: EvaluationRecord):
    assert sum(evaluation.confusion.model_dump().values()) == evaluation.rows
    assert sum(count for _, _, count in evaluation.histogram) == evaluation.rows
    assert sum(bin_.rows for bin_ in evaluation.calibration) == evaluation.rows


def test_the_model_is_better_than_what_is_simpler(evaluation: EvaluationRecord):
    simpler = {baseline.name: baseline.roc_auc for baseline in evaluation.baselines}
    assert list(simpler) == ["base rate", "best single feature", "request columns alone"]
    assert simpler["base rate"] == 0.5
    assert max(simpler.values()) < evaluation.metrics["roc_auc"].value


def test_the_column_that_tells_the_label_matters_most_and_noise_does_not(evaluation: EvaluationRecord):
    importance = evaluation.importance
    assert max(importance, key=lambda name: importance[name]) == "network__late_share"
    assert importance["network__late_share"] > 0.1 > abs(importance["hour"])


def test_a_model_that_keeps_every_rule_is_accepted(evaluation: EvaluationRecord):
    assert (refused(evaluation), evaluation.accepted) == ([], True)
    assert len(evaluation.gates) == 7


@pytest.mark.parametrize(("rule", "gate"), [(rule, GATE_OF.get(rule, rule)) for rule in STRICT])
def test_a_model_that_breaks_a_rule_is_refused_by_that_gate_alone(
    data: TrainingSet, folder: Path, rule: str, gate: str
):
    evaluation = judge(data, folder, **{rule: STRICT[rule]})
    assert (refused(evaluation), evaluation.accepted) == ([gate], False)


def test_flipped_decisions_are_refused(data: TrainingSet, folder: Path):
    evaluation = judge(data, folder, near=parity(flipped=1))
    assert refused(evaluation) == ["parity.max_flipped"]


def test_a_champion_is_not_worse_than_itself(data: TrainingSet, folder: Path):
    evaluation = judge(data, folder, beaten=folder)
    assert evaluation.comparison is not None
    assert (evaluation.comparison.difference, evaluation.comparison.verdict) == (0, "not_worse")
    assert (evaluation.champion, evaluation.accepted) == ("4", True)


def test_a_model_that_is_worse_than_the_champion_is_refused(data: TrainingSet, folder: Path, poor: Path):
    evaluation = judge(data, poor, beaten=folder, roc_auc={"min": 0.0}, slices=None)
    assert evaluation.comparison is not None
    assert evaluation.comparison.difference < -0.1
    assert refused(evaluation) == ["champion"]


def test_a_model_that_is_better_than_the_champion_is_accepted(data: TrainingSet, folder: Path, poor: Path):
    assert judge(data, folder, beaten=poor).accepted


def test_without_a_gate_nothing_is_compared(data: TrainingSet, folder: Path):
    _, record = example.fitted(data)
    evaluation = evaluate(example.model(), folder, record, parity(), data, ("4", folder))
    assert (evaluation.comparison, evaluation.slices, evaluation.gates) == (None, [], [])
    assert evaluation.accepted


def test_a_record_is_the_same_when_it_is_read_again(evaluation: EvaluationRecord):
    text = evaluation.model_dump_json()
    assert EvaluationRecord.model_validate_json(text) == evaluation


class Around(BaseModel):
    """As the record of a run holds an evaluation."""

    model_config = ConfigDict(frozen=True)

    evaluation: EvaluationRecord


def test_what_is_undefined_is_still_undefined_when_it_is_read_again(data: TrainingSet, folder: Path):
    rows = data.rows.copy()
    test = rows["split"] == "test"
    rows.loc[test & (rows["label"] == 1), "origin"] = "LGA"
    evaluation = judge(TrainingSet(rows, data.entities, data.features), folder)
    text = Around(evaluation=evaluation).model_dump_json()
    again = Around.model_validate_json(text)
    assert again.model_dump_json() == text
    assert np.isnan([item.roc_auc for item in again.evaluation.slices]).all()
    assert again.evaluation.roc.thresholds[0] == float("inf")
