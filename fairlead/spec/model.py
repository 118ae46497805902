"""What a user declares about a model: `pipelines/models/<model>.yaml`."""

import re
from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from fairlead.spec._base import Identifier, KebabName, Spec, parse_duration
from fairlead.spec.drift import DriftSpec
from fairlead.spec.performance import PerformanceSpec
from fairlead.spec.retraining import RetrainingSpec
from fairlead.spec.slo import SloSpec

_ASK_AT = re.compile(r"(?P<column>[a-z][a-z0-9_]*)(\s*(?P<sign>[+-])\s*(?P<duration>\d+\s*[mhdw]))?")

Metric = Literal["roc_auc", "average_precision", "log_loss", "brier", "expected_calibration_error"]
LOWER_IS_BETTER: frozenset[str] = frozenset({"log_loss", "brier", "expected_calibration_error"})


class RowsSpec(Spec):
    """Which rows a model is asked about, and when."""

    table: Identifier
    ask_at: str
    """A timestamp column, plus or minus a duration: `scheduled_departure - 1h`."""

    @field_validator("ask_at")
    @classmethod
    def _form(cls, value: str) -> str:
        match = _ASK_AT.fullmatch(value.strip())
        if match is None:
            raise ValueError(f"must read `<column>`, or `<column> - 1h`, but is {value!r}")
        if match["duration"]:
            parse_duration(match["duration"])
        return value

    @property
    def ask_column(self) -> str:
        """The column that the time of asking is counted from."""
        return str(self._parts()["column"])

    @property
    def ask_offset(self) -> timedelta:
        """What is added to that column; negative for "before"."""
        parts = self._parts()
        if parts["duration"] is None:
            return timedelta(0)
        offset: timedelta = parse_duration(parts["duration"])
        return -offset if parts["sign"] == "-" else offset

    def _parts(self) -> dict[str, Any]:
        match = _ASK_AT.fullmatch(self.ask_at.strip())
        assert match is not None, "checked by the validator"
        return match.groupdict()


class LabelSpec(Spec):
    """What is predicted."""

    column: Identifier
    """A bool column of the rows' table."""
    known_at: Identifier
    """The timestamp column that says when the label is known."""


class SplitSpec(Spec):
    """Days counted back from the time of the run: test last, validation before it, training before that."""

    train_days: int = Field(ge=1)
    validation_days: int = Field(ge=1)
    test_days: int = Field(ge=1)


class IntRange(Spec):
    """Whole numbers from low to high, both included."""

    int: tuple[int, int]
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> "IntRange":
        _require_order(*self.int, log=self.log)
        return self


class FloatRange(Spec):
    """Numbers from low to high."""

    float: tuple[float, float]
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> "FloatRange":
        _require_order(*self.float, log=self.log)
        return self


def _require_order(low: float, high: float, *, log: bool) -> None:
    if low > high:
        raise ValueError(f"must go from the smaller to the larger, but is [{low}, {high}]")
    if log and low <= 0:
        raise ValueError(f"must begin above 0 where `log` is true, but is [{low}, {high}]")


class Choice(Spec):
    """One of some values."""

    choice: Annotated[list[Any], Field(min_length=1)]


def _parameter_kind(value: Any) -> str | None:
    """A tag in brackets: pydantic puts it into the location of an error, where `int` would look like the key."""
    keys = (
        set(value) if isinstance(value, dict) else set(type(value).model_fields) if isinstance(value, Spec) else set()
    )
    return next((f"[{kind}]" for kind in ("int", "float", "choice") if kind in keys), None)


Parameter = Annotated[
    Annotated[IntRange, Tag("[int]")] | Annotated[FloatRange, Tag("[float]")] | Annotated[Choice, Tag("[choice]")],
    Discriminator(
        _parameter_kind,
        custom_error_type="parameter_kind",
        custom_error_message="must hold one of `int: [low, high]`, `float: [low, high]` or `choice: [...]`",
    ),
]
CandidateName = Literal["lightgbm", "hist_gradient_boosting", "logistic"]


class TuningSpec(Spec):
    """How the best of the candidates is looked for."""

    sampler: Literal["tpe", "random", "grid"] = "tpe"
    """`grid` needs every parameter to be a `choice`."""
    trials: int = Field(default=30, ge=1)
    """How many parameter sets are tried; `grid` stops when its grid is used up."""
    folds: int = Field(default=3, ge=1)
    """Expanding windows in time; each is judged on the `validation_days` after it."""
    optimise: Metric = "roc_auc"
    seed: int = 13
    candidates: Annotated[dict[CandidateName, dict[str, Parameter]], Field(min_length=1)]
    """Candidate → its search space."""

    @model_validator(mode="after")
    def _grid_needs_choices(self) -> "TuningSpec":
        if self.sampler == "grid":
            for candidate, space in self.candidates.items():
                for name, parameter in space.items():
                    if not isinstance(parameter, Choice):
                        raise ValueError(f"the grid sampler needs a `choice` for candidates.{candidate}.{name}")
        return self


class Bound(Spec):
    """A smallest and a largest allowed value; either may be absent."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _some(self) -> "Bound":
        if self.min is None and self.max is None:
            raise ValueError("must have `min` or `max`")
        return self


class ChampionGate(Spec):
    """How much worse than the champion a challenger may be on the same rows."""

    margin: float = Field(default=0.0, ge=0)


class BaselineGate(Spec):
    """By how much a model must beat the best baseline: no features, the best single one, or the request columns."""

    margin: float = Field(default=0.0, ge=0)
    """Of ROC AUC on the test period."""


class ParityGate(Spec):
    """How far the exported model may be from the fitted one."""

    max_abs: float = Field(gt=0)
    """Largest difference of a probability on any row."""
    max_flipped: int = Field(default=0, ge=0)
    """Most rows on which the decision differs."""


class _MetricBounds(Spec):
    roc_auc: Bound | None = None
    average_precision: Bound | None = None
    log_loss: Bound | None = None
    brier: Bound | None = None
    expected_calibration_error: Bound | None = None

    @property
    def metric_bounds(self) -> dict[str, Bound]:
        """The metrics that are bounded."""
        return {name: bound for name in METRICS if (bound := getattr(self, name)) is not None}


METRICS: tuple[str, ...] = tuple(_MetricBounds.model_fields)


class SliceGate(_MetricBounds):
    """Bounds that hold in every slice with enough rows."""

    by: Annotated[list[Identifier], Field(min_length=1)]
    """Columns of the rows' table; each value is a slice."""
    min_rows: int = Field(default=500, ge=1)


class GatesSpec(_MetricBounds):
    """What a model must show before it may become a challenger."""

    baseline: BaselineGate | None = None
    champion: ChampionGate | None = None
    parity: ParityGate | None = None
    latency_p99_ms: Bound | None = None
    """99th percentile of one row through the exported model, one thread, no network."""
    slices: SliceGate | None = None


class FeatureReadSpec(Spec):
    """How the server looks features up."""

    deadline_ms: float = Field(default=100, gt=0)
    """How long one read may take; after that the store counts as unavailable for the request."""
    unavailable: Literal["refuse", "defaults"] = "refuse"
    """What a caller gets while the online store cannot be read: 503, or a score on the inputs' defaults."""
    cache_seconds: float = Field(default=0, ge=0)
    """How long a value may be reused without a new read; never longer than its view's TTL. 0: never."""


class RecordSpec(Spec):
    """What is kept of each prediction."""

    features: Literal["values", "hash", "none"] = "values"
    """The model's inputs as they were, one hash over them, or nothing."""


class ServingSpec(Spec):
    """How a model is served."""

    features: FeatureReadSpec = FeatureReadSpec()
    records: RecordSpec = RecordSpec()
    threads: int = Field(default=1, ge=1)
    """Of ONNX Runtime for one request. More than one pays for large batches only."""


class ErrorRule(Spec):
    """How many more errors than stable a candidate may make."""

    margin: float = Field(default=2.0, gt=1, le=20)
    """Ratio of the error rates that would be harm; below it a candidate may be promoted."""
    floor: float = Field(default=0.001, gt=0, lt=0.5)
    """Share of errors that nobody minds: a candidate below `margin * floor` is harmless however good stable is."""


class LatencyRule(Spec):
    """How much slower than stable a candidate may be."""

    margin: float = Field(default=1.25, gt=1, le=20)
    """Ratio of the latencies that would be harm."""


class QualityRule(Spec):
    """How much worse than stable's a candidate's answers may be, where the labels of both are known."""

    loss: Literal["squared_error", "wrong_decision"] = "squared_error"
    """Of an answer, from 0 to 1. `squared_error`: of the score. `wrong_decision`: 0 for right and 1 for wrong, by the
    threshold of each version."""
    margin: float = Field(default=0.02, gt=0, lt=1)
    """Difference of the mean losses that would be harm; below it a candidate may be promoted. One that is surely above
    0 rolls back."""


class AnswersRule(Spec):
    """How far a candidate's answers may be from stable's to the same requests, in the shadow; no label is needed."""

    tolerance: float = Field(default=0.01, ge=0, lt=1)
    """Scores that are further apart are different answers."""
    most_differing: float | None = Field(default=None, ge=0, lt=1)
    """Share of different answers beyond which a person is asked before the shadow ends. `null`: they are only told."""


class RolloutSpec(Spec):
    """How a candidate becomes the stable version."""

    strategy: Literal["canary", "shadow", "ab", "blue-green"] = "canary"
    """`canary`: a rising share. `shadow`: copies of requests only; nobody sees an answer. `ab`: as canary, decided by
    labels. `blue-green`: from nothing to everything, with an instant way back."""
    shadow_minutes: float = Field(default=10, ge=0)
    """How long the candidate gets copies of requests before it gets requests. 0: no shadow."""
    mirror_percent: int = Field(default=100, ge=1, le=100)
    """Of the requests, copied in the shadow."""
    steps: Annotated[list[Annotated[int, Field(ge=1, le=99)]], Field(min_length=1)] = [5, 25, 50]
    """Percent of requests that the candidate gets, one after the other. `blue-green` has none."""
    window_seconds: float = Field(default=30, gt=0)
    """Requests are counted, and the counts looked at, once in so long."""
    warm_up_seconds: float = Field(default=120, ge=0)
    """What a candidate does in its first seconds with traffic counts only for the hard stop: it starts cold."""
    min_minutes: float = Field(default=5, ge=0)
    """No promotion before the candidate has had traffic for so long."""
    min_requests: int = Field(default=500, ge=1)
    """No promotion before the candidate has answered so many."""
    errors: ErrorRule = ErrorRule()
    latency: LatencyRule | None = LatencyRule()
    """`null`: latency is not judged."""
    quality: QualityRule | None = None
    """Judged before the shadow ends; by `ab` before the promotion. Absent: quality is not judged."""
    answers: AnswersRule | None = None
    """Absent: answers are compared where `quality` is there, and only told."""
    deadline_minutes: float = Field(default=60, gt=0)
    """If nothing is decided after so long a person is asked."""
    approve: dict[KebabName, Literal["pull-request"]] = {}
    """Environment → how a person agrees to more traffic there. Not named: it needs nobody."""

    @model_validator(mode="after")
    def _sensible(self) -> "RolloutSpec":
        if any(later <= earlier for earlier, later in pairwise(self.steps)):
            raise ValueError(f"steps must rise, but are {self.steps}")
        if self.strategy in ("shadow", "blue-green") and self.shadow_minutes == 0:
            raise ValueError(f"shadow_minutes must be above 0 for the strategy {self.strategy}, which is decided there")
        if self.strategy == "ab" and self.quality is None:
            raise ValueError("strategy ab is decided by labels, but there is no `quality`")
        if self.answers is not None and self.shadow_minutes == 0:
            raise ValueError("answers are compared in the shadow, but shadow_minutes is 0")
        slowest = max(self.shadow_minutes, self.min_minutes, self.warm_up_seconds / 60)
        if self.deadline_minutes <= slowest:
            raise ValueError(
                f"deadline_minutes must be more than shadow_minutes, min_minutes and the warm-up, of which the longest "
                f"takes {slowest:g} minutes, but is {self.deadline_minutes:g}"
            )
        return self

    @property
    def reads_records(self) -> bool:
        """Whether a candidate is judged by what was recorded of its answers, too."""
        return self.quality is not None or self.answers is not None

    @property
    def weights(self) -> tuple[int, ...]:
        """The percents of requests that a candidate gets before it is promoted, in order."""
        by_strategy: dict[str, tuple[int, ...]] = {"shadow": (), "blue-green": (100,)}
        return by_strategy.get(self.strategy, tuple(self.steps))


class ModelSpec(Spec):
    """A model, from its rows to its serving."""

    name: KebabName
    description: str
    owner: str
    dataset: Identifier
    """The folder under feature_repo/."""
    task: Literal["binary"]
    features: str
    """A Feast feature service of the dataset's `views.py`."""
    request: Annotated[list[Identifier], Field(min_length=1)]
    """Columns of the rows' table that a caller knows at the time of asking and that the model uses as they are.
    A caller also sends the entities' keys, by which the rest is looked up."""
    rows: RowsSpec
    label: LabelSpec
    split: SplitSpec
    tuning: TuningSpec
    gates: GatesSpec = GatesSpec()
    defaults: dict[str, float] = {}
    """Input → what stands for a missing number, in training as in serving. Without one it is NaN."""
    serving: ServingSpec = ServingSpec()
    rollout: RolloutSpec = RolloutSpec()
    performance: PerformanceSpec = PerformanceSpec()
    retraining: RetrainingSpec = RetrainingSpec()
    slo: SloSpec = SloSpec()
    drift: DriftSpec = DriftSpec()
