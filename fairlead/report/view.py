"""What the page shows that the summary holds only in parts: headline figures, rows that join sections."""

import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from fairlead.replay.picture import draw as draw_month
from fairlead.report import panels, plots
from fairlead.report.numbers import NOTHING, count, duration, figure, interval, metric_words, percent
from fairlead.report.summary import Baseline, Evaluation, Features, Replay, Summary, Trial, Tuning
from fairlead.spec.model import LOWER_IS_BETTER

SECTIONS = {
    "data": "Data",
    "features": "Features",
    "training": "Training",
    "evaluation": "Evaluation",
    "bundle": "Bundle",
    "registry": "Registry",
    "endpoint": "Endpoint",
    "canary": "Canary",
    "month": "The month after",
    "dashboards": "Dashboards",
    "next": "What next",
    "provenance": "Provenance",
}
"""Id in the page → heading, in the order of the loop."""


@dataclass(frozen=True)
class Headline:
    """A figure of the header."""

    label: str
    value: str
    note: str


@dataclass(frozen=True)
class CandidateRow:
    """What was tried of one candidate."""

    name: str
    complete: int
    pruned: int
    failed: int
    best: float | None
    seconds: float


@dataclass(frozen=True)
class MetricRow:
    """A metric of the model and of each baseline, in the order of `baseline_names`."""

    name: str
    value: float
    interval: str
    baselines: tuple[float | None, ...]


def headlines(summary: Summary) -> list[Headline]:
    """The six figures a reader looks for first; one that is missing says why."""
    return [
        _on_the_test_rows(summary.evaluation),
        _at_the_endpoint(summary.replay),
        _best_baseline(summary.evaluation),
        _rows(summary.features),
        _run_time(summary),
        _parity(summary),
    ]


def main_metric(evaluation: Evaluation) -> str:
    """ROC AUC, or the first metric where that was not computed."""
    names = [record.name for record in evaluation.metrics]
    return "roc_auc" if "roc_auc" in names or not names else names[0]


def _on_the_test_rows(evaluation: Evaluation) -> Headline:
    name = main_metric(evaluation)
    record = evaluation.metric(name)
    if record is None:
        return Headline(f"{metric_words(name)}, test rows", NOTHING, "not measured")
    note = _with_level(interval(record.low, record.high), record.level)
    return Headline(f"{metric_words(name)}, test rows", figure(record.value), note)


def _at_the_endpoint(replay: Replay | None) -> Headline:
    label = "ROC AUC, endpoint’s answers"
    if replay is None:
        return Headline(label, NOTHING, "the endpoint was not asked")
    note = (
        _with_level(interval(replay.roc_auc_low, replay.roc_auc_high), replay.level)
        or f"{count(replay.answered)} answers"
    )
    return Headline(label, figure(replay.roc_auc), note)


def endpoint_remark(summary: Summary) -> str:
    """A sentence where the endpoint's ROC AUC is not that of the test period by chance; else nothing."""
    auc, replay = summary.evaluation.metric("roc_auc"), summary.replay
    if auc is None or replay is None:
        return ""
    if auc.low is None or auc.high is None or replay.roc_auc_low is None or replay.roc_auc_high is None:
        return ""
    if replay.roc_auc_high < auc.low:
        return (
            "The endpoint’s ROC AUC is below that of the test period, and their intervals do not overlap: "
            "its days were harder, or the model is already worse."
        )
    if replay.roc_auc_low > auc.high:
        return (
            "The endpoint’s ROC AUC is above that of the test period, and their intervals do not overlap: "
            "its days were easier."
        )
    return ""


def bias(evaluation: Evaluation) -> str:
    """Whether the scores are too high or too low as a whole."""
    rows = sum(item.rows for item in evaluation.calibration)
    if not rows:
        return ""
    predicted = sum(item.mean_predicted * item.rows for item in evaluation.calibration) / rows
    observed = sum(item.observed * item.rows for item in evaluation.calibration) / rows
    if abs(predicted - observed) < _AGREES:
        verdict = "on the whole the scores agree with what happens"
    else:
        verdict = "the model over-predicts" if predicted > observed else "the model under-predicts"
    return f"Predicted on average: {percent(predicted)}, observed: {percent(observed)}; {verdict}."


_AGREES = 0.01
"""A difference of shares too small to speak of."""


def stopped_early(tuning: Tuning) -> bool:
    """Some trial has the mean of fewer folds than the others."""
    return any(trial.state == "pruned" and trial.value is not None for trial in tuning.trials)


def _best_baseline(evaluation: Evaluation) -> Headline:
    metric = main_metric(evaluation)
    known = [baseline for baseline in evaluation.baselines if baseline.metric == metric]
    if not known:
        return Headline("Best baseline", NOTHING, "none was measured")
    best = (min if metric in LOWER_IS_BETTER else max)(known, key=_value)
    return Headline("Best baseline", figure(best.value), best.name)


def _value(baseline: Baseline) -> float:
    return baseline.value


def _rows(features: Features) -> Headline:
    rows = {split.name: split.rows for split in features.splits}
    if not rows:
        return Headline("Rows", NOTHING, "no training set")
    notes = [words.format(count(rows[name])) for name, words in _NOT_TO_TRAIN.items() if name in rows]
    learnt = sum(rows.get(name, 0) for name in ("train", "validation"))  # the winner is fitted on both
    return Headline("Rows learnt from", count(learnt), "; ".join(notes))


_NOT_TO_TRAIN = {"validation": "the last {} also to validate", "test": "{} kept back to test"}


def _run_time(summary: Summary) -> Headline:
    cached = sum(step.cached for step in summary.run.steps)
    note = f"{len(summary.run.steps)} steps" + (f", {cached} from cache" if cached else "")
    return Headline("Run time", duration(summary.run.seconds), note if summary.run.steps else "")


def _parity(summary: Summary) -> Headline:
    label = "ONNX against fitted model"
    if summary.bundle is None or summary.bundle.parity is None:
        return Headline(label, NOTHING, "not exported")
    parity = summary.bundle.parity
    note = f"largest difference; {count(parity.flipped)} of {count(parity.rows)} decisions differ"
    return Headline(label, figure(parity.max_abs), note)


def _with_level(text: str, level: float) -> str:
    return text and f"{level:.0%} interval {text}"


def baseline_names(evaluation: Evaluation) -> list[str]:
    """Each once, in order of appearance."""
    return list(dict.fromkeys(baseline.name for baseline in evaluation.baselines))


def metric_rows(evaluation: Evaluation) -> list[MetricRow]:
    """One row a metric, with a column for each baseline."""
    measured = {(baseline.name, baseline.metric): baseline.value for baseline in evaluation.baselines}
    names = baseline_names(evaluation)
    return [
        MetricRow(
            name=metric_words(record.name),
            value=record.value,
            interval=interval(record.low, record.high),
            baselines=tuple(measured.get((name, record.name)) for name in names),
        )
        for record in evaluation.metrics
    ]


def candidate_rows(tuning: Tuning) -> list[CandidateRow]:
    """The candidates, best first."""
    better = -1 if tuning.objective not in LOWER_IS_BETTER else 1
    rows = [_candidate_row(tuning, name) for name in sorted({trial.candidate for trial in tuning.trials})]
    return sorted(rows, key=lambda row: (row.best is None, better * (row.best or 0)))


def _candidate_row(tuning: Tuning, name: str) -> CandidateRow:
    trials = [trial for trial in tuning.trials if trial.candidate == name]
    values = [trial.value for trial in trials if trial.state == "complete" and trial.value is not None]
    best = min if tuning.objective in LOWER_IS_BETTER else max
    states = [trial.state for trial in trials]
    return CandidateRow(
        name=name,
        complete=states.count("complete"),
        pruned=states.count("pruned"),
        failed=states.count("failed"),
        best=best(values, default=None),
        seconds=sum(trial.seconds for trial in trials),
    )


def best_trial(tuning: Tuning) -> Trial | None:
    """The trial that `tuning.best` names."""
    return next((trial for trial in tuning.trials if trial.number == tuning.best), None)


def drawings(summary: Summary) -> dict[str, str]:
    """Name → SVG of every plot for which there is something to draw."""
    evaluation, features = summary.evaluation, summary.features
    drawn = {}
    if any(record.importance is not None for record in features.records):
        drawn["importance"] = plots.importance(features)
    if any(record.missing_share for record in features.records):
        drawn["missing"] = plots.missing(features)
    if summary.tuning and any(trial.value is not None for trial in summary.tuning.trials):
        drawn["tuning"] = plots.tuning(summary.tuning)
    if evaluation.roc:
        drawn["roc"] = plots.roc(evaluation)
    if evaluation.calibration:
        drawn["calibration"] = plots.calibration(evaluation)
    if any(record.roc_auc is not None for record in evaluation.slices):
        drawn["slices"] = plots.slices(evaluation)
    if summary.replay and summary.replay.by_day:
        drawn["replay"] = plots.replay(summary.replay)
    for number, trial in enumerate(summary.canary.trials if summary.canary else ()):
        if any(curve.values for curve in trial.curves):
            drawn[f"canary-{number}"] = plots.evidence(trial, f"canary-{number}")
    if summary.month:
        drawn["month"] = draw_month(summary.month, "month")
    return {**drawn, **panels.drawings(summary.boards)}


def day(value: date) -> str:
    """`25 March 2013`"""
    return f"{value.day} {value:%B %Y}"


def days(start: date, end: date) -> str:
    """`25 to 31 March 2013`, `17 January to 17 March 2013`"""
    if (start.year, start.month) == (end.year, end.month):
        return f"{start.day} to {day(end)}" if start != end else day(end)
    return f"{start.day} {start:%B} to {day(end)}" if start.year == end.year else f"{day(start)} to {day(end)}"


def moment(value: datetime) -> str:
    """`12 January 2026, 09:30 UTC`"""
    zone = f" {value:%Z}" if value.tzinfo else ""
    return f"{day(value)}, {value:%H:%M}{zone}"


def plain(value: Any) -> str:
    """A value of a request or a parameter, as short as it can be without hiding what it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value, ensure_ascii=False)


def plural(number: int, one: str, many: str = "") -> str:
    """`1 table`, `5 tables`"""
    return f"{count(number)} {one if number == 1 else many or f'{one}s'}"


def rate(part: int, whole: int) -> str:
    """`64.2%`; a dash for a part of nothing."""
    return percent(part / whole if whole else None)
