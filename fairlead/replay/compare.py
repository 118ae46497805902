"""Policies side by side: what each kept of what monthly retraining gains over a model that is left alone."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt

from fairlead.evaluation.metrics import METRICS
from fairlead.features.training_set import ASKED_AT, LABEL
from fairlead.replay.result import PolicyResult, Seen
from fairlead.replay.walk import Day
from fairlead.replay.year import Year

Period = Literal["month", "week"]


def result(name: str, lived: Sequence[Day], year: Year, by: Period = "month") -> PolicyResult:
    """Measure a policy's answers, now that all labels are there."""
    scores = np.concatenate([np.array(day.scores) for day in lived])
    rows, first = year.rows, lived[0].day
    local = rows[ASKED_AT].dt.tz_convert(year.timezone).dt.date
    within = ((local >= first) & (local <= lived[-1].day)).to_numpy()
    begins = local[within].map(lambda day: _begin(day, first, by)).to_numpy()
    labels = rows.loc[within, LABEL].to_numpy(np.float64, na_value=np.nan)
    periods = {begin: _auc(labels[begins == begin], scores[begins == begin]) for begin in sorted(set(begins))}
    known = [value for value in periods.values() if value is not None]
    return PolicyResult(
        name=name,
        periods=periods,
        mean=float(np.mean(known)),
        retrainings=tuple(day.retraining for day in lived if day.retraining is not None),
    )


def _begin(day: date, first: date, by: Period) -> date:
    """The first day of the period that a day is in; weeks are counted from the first day."""
    return day.replace(day=1) if by == "month" else day - timedelta(days=(day - first).days % 7)


def what_was_seen(lived: Sequence[Day]) -> tuple[Seen, ...]:
    """Evening by evening."""
    return tuple(Seen(day=day.day, live=day.live, promised=day.promised, novelty=day.novelty) for day in lived)


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
