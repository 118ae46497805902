"""What a run found and decided: the content of `report/summary.json`, and all that the page shows."""

import math
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, SupportsFloat

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from fairlead.files import write_whole
from fairlead.panels.shown import BoardShown
from fairlead.replay.result import Comparison
from fairlead.spec.dataset import Severity


def _none_if_nan(value: Any) -> Any:
    """An undefined figure, such as the AUC of rows of one class, is absent: JSON has no NaN."""
    return None if isinstance(value, SupportsFloat) and math.isnan(value) else value


def _without_noise(value: Any) -> Any:
    """What rounding put a hair outside 0 to 1 is moved to the end; a wrong share stays wrong."""
    if isinstance(value, SupportsFloat) and -1e-9 < float(value) < 1 + 1e-9:
        return min(max(float(value), 0.0), 1.0)
    return value


def _inside_the_folder(link: str) -> str:
    if ":" in link or "\\" in link or link.startswith("/"):
        raise ValueError(f"must be a relative path with forward slashes, but is {link!r}")
    return link


Finite = Annotated[float, Field(allow_inf_nan=False)]
Figure = Annotated[Finite | None, BeforeValidator(_none_if_nan)]
"""A number, or None where it is undefined; NaN is read as None."""
Share = Annotated[float, Field(ge=0, le=1), BeforeValidator(_without_noise)]
MaybeShare = Annotated[Share | None, BeforeValidator(_none_if_nan)]
Count = Annotated[int, Field(ge=0)]
RelativeLink = Annotated[str, AfterValidator(_inside_the_folder)]


class Part(BaseModel):
    """Base of every part of a summary."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Step(Part):
    """One step of the run, in the order of starting."""

    name: str
    """As the pipeline calls it: `train-model`."""
    title: str
    """As a person says it: `Fit the best candidate`."""
    seconds: Finite
    cached: bool = False
    """The step's result was taken from an earlier run with the same inputs."""
    detail: str = ""
    """One line on what came out: `336,776 rows, version 3`."""


class Run(Part):
    """What ran, when, where and from which code."""

    model: str
    description: str
    """The question that the model answers."""
    dataset: str
    version: str
    """Of the bundle."""
    as_of: datetime
    """The moment from which the data is seen: nothing known later was learnt from."""
    started_at: datetime
    seconds: Finite
    fairlead_version: str
    git_commit: str | None = None
    """None: not run from a checkout."""
    code_version: str
    """Hash of the code that made the bundle."""
    lock_hash: str | None = None
    """Hash of the locked requirements; None: not installed from a lock."""
    home: str
    """The folder that holds tables, models and this report."""
    steps: tuple[Step, ...] = ()


class TableRecord(Part):
    """A table as this run read it."""

    name: str
    source: str
    """URI."""
    sha256: str
    """Of the source's bytes."""
    rows: Count
    version: Count
    """Of the Delta table that the run pinned."""
    columns: Count


class SeverityCount(Part):
    """How the rules of one severity went."""

    severity: Severity
    rules: Count
    passed: Count
    failed: Count


class FailedRule(Part):
    """A rule that the data breaks."""

    table: str
    column: str | None = None
    """None: a rule about the whole table."""
    rule: str
    """In words or as declared: `references planes.tailnum (mostly 0.9)`."""
    severity: Severity
    unexpected: Count | None = None
    """Rows that break the rule; None: the rule is not about rows."""
    rows: Count | None = None
    """Rows that were looked at."""
    examples: tuple[str, ...] = ()
    """A few of the values found."""


class Quality(Part):
    """What the quality gate found."""

    counts: tuple[SeverityCount, ...] = ()
    failed: tuple[FailedRule, ...] = ()
    data_docs: RelativeLink | None = None
    """Data docs of Great Expectations, relative to the report's folder."""


class Data(Part):
    """The tables and how good they are."""

    tables: tuple[TableRecord, ...] = ()
    quality: Quality = Quality()


class FeatureRecord(Part):
    """An input of the model, as seen in the training rows."""

    name: str
    view: str | None = None
    """The feature view; None: the caller sends it."""
    kind: Literal["number", "category"]
    source: Literal["request", "feature"]
    """`request`: the caller sends it. `feature`: the server looks it up."""
    missing_share: Share = 0.0
    mean: Figure = None
    """None for categories."""
    low: Figure = None
    """Smallest value; None for categories."""
    high: Figure = None
    """Largest value; None for categories."""
    categories: Count | None = None
    """Number of different values of a category."""
    importance: Figure = None


class SplitRecord(Part):
    """One of the parts, by time, of the training set."""

    name: Literal["train", "validation", "test"]
    rows: Count
    start: date
    end: date
    """The last day in it."""
    base_rate: MaybeShare = None
    """Share of rows whose label is true."""


class Features(Part):
    """What the model sees."""

    records: tuple[FeatureRecord, ...] = ()
    importance_measure: str = ""
    """What `importance` counts: `share of the gain over all splits`."""
    splits: tuple[SplitRecord, ...] = ()
    keys: tuple[str, ...] = ()
    """Entity keys that the caller sends for the look-up, and that are no column of the model."""


class Trial(Part):
    """One parameter set that was tried."""

    number: Count
    candidate: str
    params: dict[str, JsonValue] = {}
    value: Figure = None
    """Of the objective, averaged over the folds; a pruned trial may have that of the folds it saw."""
    state: Literal["complete", "pruned", "failed"] = "complete"
    seconds: Finite


class Tuning(Part):
    """How the best of the candidates was looked for."""

    sampler: str
    seed: int
    objective: str
    """The name of a metric."""
    folds: Count | None = None
    trials: tuple[Trial, ...] = ()
    best: Count | None = None
    """Number of the best trial."""


class MetricRecord(Part):
    """A metric on the test rows, with a confidence interval where one was computed."""

    name: str
    value: Finite
    low: Figure = None
    high: Figure = None
    level: Share = 0.95
    """Of confidence."""


class Baseline(Part):
    """What something simpler reaches on the same rows."""

    name: str
    metric: str
    value: Finite


class RocPoint(Part):
    """A point of the ROC curve."""

    false_positive_rate: Share
    true_positive_rate: Share


class CalibrationBin(Part):
    """Rows with nearly the same score."""

    mean_predicted: Share
    observed: Share
    """Share of rows whose label is true."""
    low: MaybeShare = None
    """Wilson interval of `observed`."""
    high: MaybeShare = None
    rows: Count


class ScoreBin(Part):
    """A bar of the histogram of scores."""

    low: Share
    high: Share
    rows: Count


class SliceRecord(Part):
    """The rows that share one value of a column."""

    column: str
    value: str
    rows: Count
    base_rate: MaybeShare = None
    roc_auc: MaybeShare = None
    """None where the slice holds one class only."""
    enough_rows: bool = True
    """The gate on slices looks at it."""


class ChampionComparison(Part):
    """The new model against the one in service, on the same rows."""

    version: str
    """Of the champion."""
    metric: str
    difference: Finite
    """New model minus champion."""
    low: Figure = None
    high: Figure = None
    level: Share = 0.95
    verdict: str
    """In words: `not worse than the champion by more than 0`."""


class GateRecord(Part):
    """A rule that a model must obey before it may serve, and how it went."""

    name: str
    rule: str
    """`roc_auc ≥ 0.60`"""
    value: str
    """What was measured, as text, because some gates measure a pair."""
    passed: bool
    reason: str = ""


class Confusion(Part):
    """Decisions at the threshold against what happened, in rows."""

    true_positives: Count
    false_positives: Count
    true_negatives: Count
    false_negatives: Count


class Evaluation(Part):
    """How good the model is on rows that no step before this one saw."""

    metrics: tuple[MetricRecord, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    roc: tuple[RocPoint, ...] = ()
    calibration: tuple[CalibrationBin, ...] = ()
    scores: tuple[ScoreBin, ...] = ()
    """Histogram of the scores; where empty, the rows of the calibration bins are shown."""
    slices: tuple[SliceRecord, ...] = ()
    champion: ChampionComparison | None = None
    """None: there is none yet."""
    gates: tuple[GateRecord, ...] = ()
    threshold: MaybeShare = None
    """A score from which on the decision is "yes"."""
    confusion: Confusion | None = None

    def metric(self, name: str) -> MetricRecord | None:
        """The metric of that name, where it was computed."""
        return next((record for record in self.metrics if record.name == name), None)


class FileRecord(Part):
    """A file of the bundle."""

    name: str
    size_bytes: Count
    sha256: str


class Parity(Part):
    """The exported model against the fitted one, on the same rows."""

    rows: Count
    max_abs: Finite
    """Largest difference of a probability."""
    flipped: Count
    """Rows on which the decision differs."""


class Bundle(Part):
    """What training hands to serving."""

    size_bytes: Count
    files: tuple[FileRecord, ...] = ()
    parity: Parity | None = None
    latency_p50_ms: Figure = None
    """One row, one thread, no network."""
    latency_p99_ms: Figure = None
    onnx_opset: Count | None = None


class Registry(Part):
    """What became of the model."""

    model: str
    version: str | None = None
    """None: it was not registered."""
    aliases: tuple[str, ...] = ()
    tracking_uri: str
    run_id: str | None = None
    status: Literal["accepted", "refused"]
    reasons: tuple[str, ...] = ()
    """Why it was refused, or what an accepted one is warned about."""


class ReplayDay(Part):
    """One day of requests."""

    date: date
    requests: Count
    roc_auc: MaybeShare = None
    base_rate: MaybeShare = None


class Sample(Part):
    """A request that was sent, what came back, and what happened."""

    request: dict[str, JsonValue]
    response: dict[str, JsonValue]
    actual: bool | None = None
    """The label; None: not known."""


class Replay(Part):
    """The test rows sent, in order of time, to the endpoint that serves the bundle."""

    start: datetime
    end: datetime
    requests: Count
    answered: Count
    roc_auc: MaybeShare = None
    roc_auc_low: MaybeShare = None
    roc_auc_high: MaybeShare = None
    level: Share = 0.95
    max_abs_difference: Figure = None
    """Largest difference of a probability to the one computed offline for the same row."""
    features_missing_share: MaybeShare = None
    """Share of looked-up features that the online store did not have."""
    latency_p50_ms: Figure = None
    latency_p99_ms: Figure = None
    by_day: tuple[ReplayDay, ...] = ()
    samples: tuple[Sample, ...] = ()


class CanaryCurve(Part):
    """One e-process of a trial, as natural logarithms."""

    signal: str
    of: str
    """`harm` or `no harm`."""
    values: tuple[Finite, ...]
    """After each window behind the warm-up."""
    threshold: Finite
    """At which it decides."""


class CanaryTrial(Part):
    """One version that was tried on live requests."""

    version: str
    what: str
    """How it differs from stable, for a person."""
    outcome: str
    """`promoted`, `rolled back` or `undecided`."""
    seconds: Finite
    """From the first copy of a request to that."""
    requests: Count
    """That callers made meanwhile."""
    failed: Count
    """Of those."""
    answered: Count
    """Requests or copies that the candidate answered in the stage that decided."""
    answers_failed: Count
    """Of those. A caller never sees what becomes of a copy."""
    curves: tuple[CanaryCurve, ...] = ()


class CanaryCommit(Part):
    """One change of the release, as it is in Git."""

    commit: str
    at: datetime
    subject: str
    body: str


class Canary(Part):
    """Releases of versions to live requests, each decided by figures and written to Git."""

    rate: Finite
    """Requests a second."""
    requests: Count
    """In all, with those that stable alone answered before the first trial."""
    window_seconds: Finite
    trials: tuple[CanaryTrial, ...]
    commits: tuple[CanaryCommit, ...]
    """Oldest first."""


class NextCommand(Part):
    """Something to do with what the run made."""

    command: str
    does: str
    """What it does, as the end of the sentence "this command …": `serves the model on this machine`."""


class Summary(Part):
    """All of a run that a reader may want to know. Sections follow the order of the loop."""

    run: Run
    data: Data
    features: Features
    tuning: Tuning | None = None
    """None: no parameters were looked for."""
    evaluation: Evaluation
    bundle: Bundle | None = None
    """None: the run ended before one was made."""
    registry: Registry
    replay: Replay | None = None
    """None: the endpoint was not asked."""
    canary: Canary | None = None
    """None: nothing was released step by step."""
    month: Comparison | None = None
    """The time after the run, lived through again; None: it was not."""
    boards: tuple[BoardShown, ...] = ()
    """The dashboards of the model, filled by the canary and by the month; none: neither was there."""
    next: tuple[NextCommand, ...] = ()

    def write(self, path: Path) -> Path:
        """Write JSON to `path`, which a reader sees either as it was or complete."""
        return write_whole(path, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Summary":
        """The summary that `write` wrote.

        Raises:
            pydantic.ValidationError: the file is not a summary.
        """
        return cls.model_validate_json(path.read_bytes())
