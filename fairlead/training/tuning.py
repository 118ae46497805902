"""The search for the best candidate and its parameters, judged on windows in time."""

import itertools
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from fairlead.errors import TrainingError
from fairlead.evaluation.metrics import METRICS
from fairlead.packaging.signature import Matrix, Signature
from fairlead.spec.model import Choice, FloatRange, IntRange, TuningSpec
from fairlead.training.candidates import CANDIDATES, Labels
from fairlead.training.splits import Fold

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)


class TrialRecord(BaseModel):
    """One parameter set that was tried."""

    model_config = ConfigDict(frozen=True)

    number: int
    candidate: str
    params: dict[str, Any]
    value: float | None
    """Mean over the folds; of the folds seen so far if pruned."""
    state: Literal["complete", "pruned"]
    folds: list[float]
    seconds: float


@dataclass(frozen=True)
class TuningData:
    """Rows that tuning may look at, and their folds."""

    matrix: Matrix
    labels: Labels
    signature: Signature
    folds: list[Fold]


def tune(spec: TuningSpec, data: TuningData) -> list[TrialRecord]:
    """Try parameter sets; the same spec, data and code try the same ones, with the same results.

    Raises:
        TrainingError: every trial was pruned or worth nothing.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize" if METRICS[spec.optimise].higher_is_better else "minimize",
        sampler=_sampler(spec),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
    )
    grid = list(_grid(spec)) if spec.sampler == "grid" else []
    for setting in grid:
        study.enqueue_trial(setting)
    records: list[TrialRecord] = []
    total = min(spec.trials, len(grid)) if grid else spec.trials
    study.optimize(lambda trial: _run_trial(trial, spec, data, records, total), n_trials=total)
    if not any(_has_value(record) for record in records):
        raise TrainingError(f"none of {len(records)} trials gave a {spec.optimise}")
    return records


def best(records: list[TrialRecord], optimise: str) -> TrialRecord:
    """The best complete trial; the earlier of two equals."""
    sign = -1 if METRICS[optimise].higher_is_better else 1
    return min(filter(_has_value, records), key=lambda record: (sign * (record.value or 0.0), record.number))


def _has_value(record: TrialRecord) -> bool:
    return record.state == "complete" and record.value is not None and bool(np.isfinite(record.value))


def _run_trial(
    trial: "optuna.Trial", spec: TuningSpec, data: TuningData, records: list[TrialRecord], total: int
) -> float:
    import optuna

    started = time.monotonic()
    candidate = trial.suggest_categorical("candidate", list(spec.candidates))
    params = {name: _suggest(trial, candidate, name, space) for name, space in spec.candidates[candidate].items()}
    values: list[float] = []
    pruned = False
    for step, fold in enumerate(data.folds):
        values.append(_judge(candidate, params, spec, data, fold))
        trial.report(float(np.mean(values)), step)
        if step + 1 < len(data.folds) and trial.should_prune():
            pruned = True
            break
    value = float(np.mean(values))
    records.append(
        TrialRecord(
            number=trial.number,
            candidate=candidate,
            params=params,
            value=value,
            state="pruned" if pruned else "complete",
            folds=values,
            seconds=round(time.monotonic() - started, 3),
        )
    )
    log.info("trial %d/%d %s %s %.4f%s", trial.number + 1, total, candidate, spec.optimise, value, " pruned" * pruned)
    if pruned:
        raise optuna.TrialPruned
    return value


def _judge(candidate: str, params: dict[str, Any], spec: TuningSpec, data: TuningData, fold: Fold) -> float:
    fitted = CANDIDATES[candidate].fit(data.matrix[fold.fit], data.labels[fold.fit], data.signature, params, spec.seed)
    scores = fitted.scores(data.matrix[fold.judge])
    return METRICS[spec.optimise].function(data.labels[fold.judge], scores)


def _suggest(trial: "optuna.Trial", candidate: str, name: str, space: IntRange | FloatRange | Choice) -> Any:
    key = f"{candidate}.{name}"
    match space:
        case IntRange(int=(low, high), log=logarithmic):
            return trial.suggest_int(key, low, high, log=logarithmic)
        case FloatRange(float=(low, high), log=logarithmic):
            return trial.suggest_float(key, low, high, log=logarithmic)
        case Choice(choice=choices):
            return trial.suggest_categorical(key, choices)


def _sampler(spec: TuningSpec) -> "optuna.samplers.BaseSampler":
    import optuna

    if spec.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=spec.seed)
    return optuna.samplers.RandomSampler(seed=spec.seed)  # of a grid every point is enqueued, none is sampled


def _grid(spec: TuningSpec) -> Iterator[dict[str, Any]]:
    """Each candidate's own grid; a product over all candidates would try the same setting many times."""
    for candidate, space in spec.candidates.items():
        choices = [parameter.choice for parameter in space.values() if isinstance(parameter, Choice)]
        for values in itertools.product(*choices):
            yield {
                "candidate": candidate,
                **{f"{candidate}.{name}": value for name, value in zip(space, values, strict=True)},
            }
