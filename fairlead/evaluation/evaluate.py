"""The evaluation of a packaged model on its test period: what is served is what is judged."""

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from fairlead.evaluation import (
    METRICS,
    Comparison,
    Evidence,
    GateResult,
    Interval,
    ReliabilityBin,
    RocCurve,
    SliceResult,
    base_rate_baseline,
    best_single_feature,
    bootstrap,
    by_slice,
    check_gates,
    compare,
    reliability_curve,
    roc_curve,
)
from fairlead.evaluation.metrics import measure, roc_auc
from fairlead.features.training_set import LABEL, TrainingSet
from fairlead.packaging.parity import Parity
from fairlead.packaging.session import ScoringSession
from fairlead.packaging.signature import Matrix, Signature
from fairlead.spec import ModelSpec
from fairlead.training.candidates import CANDIDATES
from fairlead.training.fit import TrainingRecord, as_columns

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

TIMED_CALLS = 2_000
WARM_UP_CALLS = 200


class BaselineRecord(BaseModel):
    """Something simpler, on the same rows."""

    model_config = ConfigDict(frozen=True)

    name: str
    detail: str
    roc_auc: float
    log_loss: float | None
    metrics: dict[str, float] = {}
    """All of them; empty in records made before they were kept."""


class Confusion(BaseModel):
    """Decisions at the threshold."""

    model_config = ConfigDict(frozen=True)

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int


class EvaluationRecord(BaseModel):
    """All that was measured, and what the gates say of it."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    rows: int
    metrics: dict[str, Interval]
    """95% intervals by a bootstrap of whole days: flights of one day share their weather and their jams."""
    baselines: list[BaselineRecord]
    roc: RocCurve
    calibration: list[ReliabilityBin]
    histogram: list[tuple[float, float, int]]
    """Low end, high end, rows with a score in between."""
    slices: list[SliceResult]
    importance: dict[str, float]
    """Input → loss of ROC AUC when its values are shuffled (Breiman 2001, section 10)."""
    confusion: Confusion
    latency_p50_ms: float
    latency_p99_ms: float
    """One row through the graph, one thread."""
    champion: str
    comparison: Comparison | None
    gates: list[GateResult]

    @property
    def accepted(self) -> bool:
        """Every gate was passed."""
        return all(gate.passed for gate in self.gates)


def evaluate(
    model: ModelSpec,
    folder: Path,
    record: TrainingRecord,
    parity: Parity,
    training_set: TrainingSet,
    champion: tuple[str, Path] | None,
) -> EvaluationRecord:
    """Measure a packaged model on the test period and check its gates.

    Args:
        model: the gates.
        folder: the packaged bundle.
        record: how it was trained.
        parity: how near it is to the fitted model.
        training_set: rows of the split `test` are judged; the others make the baselines.
        champion: version and bundle of the model to beat.
    """
    session = ScoringSession.open(folder)
    test = training_set.part("test")
    labels, matrix = test[LABEL].to_numpy(np.int64), _matrix(test, record.signature)
    scores = session.scores(matrix).astype(np.float64)
    days = np.array(training_set.days("test"))
    seed = model.tuning.seed
    metrics = bootstrap(labels, scores, tuple(METRICS), seed=seed, groups=days)
    comparison = _compare(model, champion, test, labels, scores, days)
    slices = _slices(model, test, labels, scores)
    p50, p99 = _latency_ms(session, matrix)
    baselines = _baselines(model, record, training_set)
    evidence = Evidence(
        metrics={name: interval.value for name, interval in metrics.items()},
        comparison=comparison,
        baselines={item.name: item.roc_auc for item in baselines},
        parity_max_abs=parity.max_abs,
        parity_flipped=parity.flipped,
        latency_p99_ms=p99,
        slices=slices,
    )
    gates = check_gates(model.gates, evidence)
    auc = metrics["roc_auc"]
    passed = sum(gate.passed for gate in gates)
    text = "ROC AUC %.3f [%.3f, %.3f] on the test period, %d of %d gates passed"
    log.info(text, auc.value, auc.low, auc.high, passed, len(gates))
    return EvaluationRecord(
        rows=len(labels),
        metrics=metrics,
        baselines=baselines,
        roc=roc_curve(labels, scores),
        calibration=reliability_curve(labels, scores),
        histogram=_histogram(scores),
        slices=slices,
        importance=_importance(session, matrix, labels, record.signature, seed),
        confusion=_confusion(labels, session.decisions(scores.astype(np.float32))),
        latency_p50_ms=p50,
        latency_p99_ms=p99,
        champion=champion[0] if champion else "",
        comparison=comparison,
        gates=gates,
    )


def _matrix(rows: "pd.DataFrame", signature: Signature) -> Matrix:
    return signature.matrix(as_columns(rows, signature))


def _compare(
    model: ModelSpec,
    champion: tuple[str, Path] | None,
    test: "pd.DataFrame",
    labels: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    days: npt.NDArray[np.str_],
) -> Comparison | None:
    if champion is None or model.gates.champion is None:
        return None
    session = ScoringSession.open(champion[1])
    theirs = session.scores(_matrix(test, session.bundle.signature)).astype(np.float64)
    return compare(
        labels,
        theirs,
        scores,
        metric=model.tuning.optimise,
        margin=model.gates.champion.margin,
        seed=model.tuning.seed,
        groups=days,
    )


def _slices(
    model: ModelSpec, test: "pd.DataFrame", labels: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]
) -> list[SliceResult]:
    gate = model.gates.slices
    if gate is None:
        return []
    columns = {name: test[name].astype(str).tolist() for name in gate.by}
    return by_slice(labels, scores, columns, min_rows=gate.min_rows)


def _baselines(model: ModelSpec, record: TrainingRecord, training_set: TrainingSet) -> list[BaselineRecord]:
    past = training_set.rows[training_set.rows["split"] != "test"]
    test = training_set.part("test")
    train_matrix, test_matrix = _matrix(past, record.signature), _matrix(test, record.signature)
    train_labels, test_labels = past[LABEL].to_numpy(np.int64), test[LABEL].to_numpy(np.int64)
    constant = base_rate_baseline(train_labels, test_labels)
    single = best_single_feature(train_matrix, train_labels, test_matrix, test_labels, record.signature.names)
    known = [index for index, item in enumerate(record.signature.inputs) if item.source == "request"]
    narrow = Signature(inputs=[record.signature.inputs[index] for index in known], entities=[])
    fitted = CANDIDATES[record.candidate].fit(
        train_matrix[:, known], train_labels, narrow, record.params, model.tuning.seed
    )
    alone = measure(test_labels, fitted.scores(test_matrix[:, known]))
    return [
        _baseline("base rate", "the same score for everybody", constant.metrics),
        _baseline("best single feature", str(single.feature), single.metrics),
        _baseline("request columns alone", f"{record.candidate} without looked-up features", alone),
    ]


def _baseline(name: str, detail: str, metrics: "dict[str, float]") -> BaselineRecord:
    auc = metrics["roc_auc"]
    measured = {name: value for name, value in metrics.items() if not np.isnan(value)} | {
        "roc_auc": 0.5 if np.isnan(auc) else auc
    }
    return BaselineRecord(
        name=name, detail=detail, roc_auc=measured["roc_auc"], log_loss=metrics["log_loss"], metrics=measured
    )


def _importance(
    session: ScoringSession, matrix: Matrix, labels: npt.NDArray[np.int64], signature: Signature, seed: int
) -> dict[str, float]:
    base = roc_auc(labels, session.scores(matrix).astype(np.float64))
    order = np.random.default_rng(seed).permutation(len(matrix))
    losses = {}
    for index, item in enumerate(signature.inputs):
        shuffled = matrix.copy()
        shuffled[:, index] = matrix[order, index]
        losses[item.name] = base - roc_auc(labels, session.scores(shuffled).astype(np.float64))
    return losses


def _histogram(scores: npt.NDArray[np.float64]) -> list[tuple[float, float, int]]:
    counts, edges = np.histogram(scores, bins=40, range=(0.0, 1.0))
    return [(float(low), float(high), int(count)) for low, high, count in zip(edges, edges[1:], counts, strict=False)]


def _confusion(labels: npt.NDArray[np.int64], decisions: npt.NDArray[np.bool_]) -> Confusion:
    yes = labels == 1
    return Confusion(
        true_positives=int(np.sum(decisions & yes)),
        false_positives=int(np.sum(decisions & ~yes)),
        false_negatives=int(np.sum(~decisions & yes)),
        true_negatives=int(np.sum(~decisions & ~yes)),
    )


def _latency_ms(session: ScoringSession, matrix: Matrix) -> tuple[float, float]:
    """Median and 99th percentile of one row, rows taken in turn."""
    rows = [matrix[index % len(matrix)][None, :] for index in range(TIMED_CALLS + WARM_UP_CALLS)]
    seconds = []
    for row in rows:
        started = time.perf_counter()
        session.scores(row)
        seconds.append(time.perf_counter() - started)
    timed = np.array(seconds[WARM_UP_CALLS:]) * 1000
    return float(np.quantile(timed, 0.5)), float(np.quantile(timed, 0.99))
