"""Policies side by side: what each kept of what monthly retraining gains over a model that is left alone."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from fairlead.evaluation.metrics import METRICS
from fairlead.features.training_set import ASKED_AT, LABEL
from fairlead.replay.walk import Day, Retraining
from fairlead.replay.year import Year

GOAL_SHARE, GOAL_RETRAININGS = 0.95, 6


class PolicyResult(BaseModel):
    """One policy over the whole range."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    name: str
    monthly: dict[str, float | None]
    """Month, `2013-03` → ROC AUC of what was answered in it; None: one class only."""
    mean: float
    """Of the months."""
    retrainings: tuple[Retraining, ...]
    share: float | None = None
    """Of the gain of `monthly` over `static`; None where that is nothing."""


class Seen(BaseModel):
    """What the platform's watch saw on an evening."""

    model_config = ConfigDict(frozen=True)

    day: date
    live: float | None
    promised: float | None
    novelty: float | None


class Comparison(BaseModel):
    """The result of a replay."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    model: str
    first: date
    last: date
    rows: int
    where: str
    policies: tuple[PolicyResult, ...]
    seen: tuple[Seen, ...]
    decay: float
    """Thresholds of the watch."""
    novelty: float
    seconds: float = 0.0
    """Of the last call; less where a part was there already."""

    def policy(self, name: str) -> PolicyResult:
        """One of the policies."""
        return next(item for item in self.policies if item.name == name)


def result(name: str, lived: Sequence[Day], year: Year) -> PolicyResult:
    """Measure a policy's answers, now that all labels are there."""
    scores = np.concatenate([np.array(day.scores) for day in lived])
    rows = year.rows
    local = rows[ASKED_AT].dt.tz_convert(year.timezone).dt.date
    within = ((local >= lived[0].day) & (local <= lived[-1].day)).to_numpy()
    months = local[within].map(lambda day: f"{day:%Y-%m}").to_numpy()
    labels = rows.loc[within, LABEL].to_numpy(np.float64, na_value=np.nan)
    monthly = {str(month): _auc(labels[months == month], scores[months == month]) for month in np.unique(months)}
    known = [value for value in monthly.values() if value is not None]
    return PolicyResult(
        name=name,
        monthly=monthly,
        mean=float(np.mean(known)),
        retrainings=tuple(day.retraining for day in lived if day.retraining is not None),
    )


def _auc(labels: npt.NDArray[np.float64], scores: npt.NDArray[np.float64]) -> float | None:
    known = ~np.isnan(labels)
    if len(np.unique(labels[known])) < 2:
        return None
    return METRICS["roc_auc"].unweighted(labels[known], scores[known])


def with_shares(found: Mapping[str, PolicyResult]) -> tuple[PolicyResult, ...]:
    """Each with what it kept of the gain."""
    gain = found["monthly"].mean - found["static"].mean
    return tuple(
        item.model_copy(update={"share": (item.mean - found["static"].mean) / gain if gain > 0 else None})
        for item in found.values()
    )


def month_starts(first: date, last: date) -> frozenset[date]:
    """The first of each month, but for the first day itself: its model is everybody's."""
    days = (first + timedelta(days=number) for number in range(1, (last - first).days + 1))
    return frozenset(day for day in days if day.day == 1)


def evenly(first: date, last: date, times: int) -> frozenset[date]:
    """So many days, as far from each other as from both ends."""
    total = (last - first).days + 1
    return frozenset(first + timedelta(days=round(total * number / (times + 1))) for number in range(1, times + 1))
