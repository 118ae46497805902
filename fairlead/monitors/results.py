"""What a job that watches a model found, kept until its next run: jobs end, and what is scraped must live on."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from fairlead import metrics as catalogue
from fairlead.errors import FairleadError
from fairlead.metrics import Metric
from fairlead.spec._base import KebabName

if TYPE_CHECKING:
    from fairlead.ports import ResultStore

LONGEST_MESSAGE = 500
QUALITY = "quality"
"""The detector of a dataset's quality gate; its results are kept under the name that `of_dataset` gives."""
_GROUPS = [group for group in vars(catalogue).values() if isinstance(group, tuple) and not isinstance(group, Metric)]
CATALOGUE: Mapping[str, Metric] = {
    item.name: item for group in _GROUPS for item in group if isinstance(item, Metric) and item.kind != "histogram"
}
"""What a result may hold, by name: whatever is in a group of the catalogue, but for histograms."""


def of_dataset(name: str) -> str:
    """What stands for the model in results about a dataset: `_` is not in names of models."""
    return name.replace("_", "-")


class Value(BaseModel):
    """One figure of a metric."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    labels: Mapping[str, str]
    value: float


class Failure(BaseModel):
    """Why a run had no result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    error: str
    """The class of the error."""
    message: str


class Result(BaseModel):
    """The newest run of one detector of one model.

    A run that failed keeps the figures of the last one that did not: `at` and `failure` are of the failed one,
    `succeeded_at` and `metrics` of the other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="strings")

    model: KebabName
    detector: KebabName
    """Such as `drift`, `performance`, `retraining`."""
    version: str | None = None
    """Of the model; None: the detector is about none in particular."""
    at: AwareDatetime
    """When the run ended."""
    succeeded_at: AwareDatetime | None = None
    failure: Failure | None = None
    metrics: Mapping[str, Annotated[Sequence[Value], Field(min_length=1)]] = {}
    """Name of a metric → its values."""

    @model_validator(mode="after")
    def _of_the_catalogue(self) -> Self:
        for name, values in self.metrics.items():
            metric = CATALOGUE.get(name)
            if metric is None:
                raise ValueError(f"metrics must be gauges or counters of fairlead/metrics.py, but one is {name!r}")
            for value in values:
                if set(value.labels) != set(metric.labels):
                    raise ValueError(f"{name} must have the labels {metric.labels}, but has {sorted(value.labels)}")
        return self


class Figures:
    """Collects the figures of a run, each checked as it comes."""

    def __init__(self, **common: str) -> None:
        """Begin.

        Args:
            common: labels of all metrics that have them, such as `model` and `version`.
        """
        self._common = common
        self._values: dict[str, list[Value]] = {}

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Add a figure. NaN says nothing: the figure is left out.

        Raises:
            ValueError: labels are missing, or are none of the metric's.
        """
        every = {name: text for name, text in self._common.items() if name in metric.labels} | labels
        if set(every) != set(metric.labels):
            raise ValueError(f"{metric.name} must have the labels {metric.labels}, but has {sorted(every)}")
        if not math.isnan(value):
            self._values.setdefault(metric.name, []).append(Value(labels=every, value=float(value)))

    @property
    def values(self) -> Mapping[str, Sequence[Value]]:
        """As `Result.metrics` wants them."""
        return self._values


def succeeded(
    model: str, detector: str, figures: Figures, version: str | None = None, at: datetime | None = None
) -> Result:
    """The result of a run that ends now, or at an instant."""
    now = at or datetime.now(UTC)
    return Result(model=model, detector=detector, version=version, at=now, succeeded_at=now, metrics=figures.values)


def scraped(result: Result) -> Mapping[str, Sequence[Value]]:
    """What the collector tells of a result at every scrape until the next: its figures, and how old they are."""
    about = Figures(model=result.model, detector=result.detector)
    about.set(catalogue.MONITOR_LAST_RUN, result.at.timestamp())
    about.set(catalogue.MONITOR_LAST_SUCCESS, result.succeeded_at.timestamp() if result.succeeded_at else 0.0)
    error = result.failure.error if result.failure else ""
    about.set(catalogue.MONITOR_FAILED, float(bool(error)), error=error)
    return {**about.values, **result.metrics}


def keep_failure(results: "ResultStore", model: str, detector: str, error: Exception) -> None:
    """Write that a run failed; of the run before nothing is kept where it cannot be read.

    Raises:
        HomeError: it cannot be written.
    """
    try:
        before = results.read(model, detector)
    except FairleadError:
        before = None
    results.write(failed(model, detector, error, before))


def failed(model: str, detector: str, error: Exception, before: Result | None) -> Result:
    """The result of a run that ends now with an error, after the one that `ResultStore.read` found."""
    failure = Failure(error=type(error).__name__, message=str(error)[:LONGEST_MESSAGE])
    if before is None:
        return Result(model=model, detector=detector, at=datetime.now(UTC), failure=failure)
    return before.model_copy(update={"at": datetime.now(UTC), "failure": failure})
