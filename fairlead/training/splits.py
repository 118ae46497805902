"""Periods and folds in time. Nothing is ever split at random: the future must not help to predict the past."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from fairlead.errors import TrainingError
from fairlead.spec.model import SplitSpec

if TYPE_CHECKING:
    import pandas as pd

Mask = npt.NDArray[np.bool_]


def midnight(day: date, zone: str) -> datetime:
    """The instant at which a day begins in a zone, in UTC."""
    return datetime.combine(day, time(0), ZoneInfo(zone)).astimezone(UTC)


def days_before(moment: datetime, days: int, zone: str) -> datetime:
    """The same time of day, `days` calendar days earlier in a zone (23 or 25 hours on two days a year), in UTC."""
    return (moment.astimezone(ZoneInfo(zone)) - timedelta(days=days)).astimezone(UTC)


@dataclass(frozen=True)
class Periods:
    """Train, then validation, then test, without gaps; each is [start, end)."""

    start: datetime
    validation: datetime
    test: datetime
    end: datetime

    @classmethod
    def before(cls, as_of: datetime, split: SplitSpec, zone: str) -> "Periods":
        """The periods that end at `as_of`."""
        test = days_before(as_of, split.test_days, zone)
        validation = days_before(test, split.validation_days, zone)
        return cls(days_before(validation, split.train_days, zone), validation, test, as_of)

    def bounds(self, split: str) -> tuple[datetime, datetime]:
        """Start and end of a period."""
        return {
            "train": (self.start, self.validation),
            "validation": (self.validation, self.test),
            "test": (self.test, self.end),
        }[split]

    def describe(self, split: str) -> str:
        """`[start, end)` in ISO 8601."""
        start, end = self.bounds(split)
        return f"[{start.isoformat()}, {end.isoformat()})"

    def assign(self, asked_at: "pd.Series[pd.Timestamp]", known_at: "pd.Series[pd.Timestamp]") -> "pd.Series[str]":
        """Row → period, or None where the label was not yet known at the period's end."""
        import pandas as pd

        result = pd.Series([None] * len(asked_at), index=asked_at.index, dtype=object)
        for split in ("train", "validation", "test"):
            start, end = self.bounds(split)
            result[(asked_at >= start) & (asked_at < end) & (known_at <= end)] = split
        return result


@dataclass(frozen=True)
class Fold:
    """Row masks of one fold."""

    fit: Mask
    judge: Mask


def expanding_folds(
    asked_at: "pd.Series[pd.Timestamp]", known_at: "pd.Series[pd.Timestamp]", *, folds: int, days: int
) -> Iterator[Fold]:
    """Folds whose judged windows of `days` lie one after the other up to the last row; each is fitted on all before.

    A row is fitted on only if its label was known when the judged window begins.

    Raises:
        TrainingError: the rows do not reach back far enough, or a window has nothing to judge or to fit on.
    """
    end = asked_at.max() + timedelta(microseconds=1)
    if end - timedelta(days=folds * days) <= asked_at.min():
        raise TrainingError(
            f"{folds} folds of {days} days need more than {folds * days} days of training rows, "
            f"but they reach from {asked_at.min()} to {asked_at.max()}"
        )
    for number in range(folds, 0, -1):
        start = end - timedelta(days=number * days)
        stop = start + timedelta(days=days)
        judge, fit = (asked_at >= start) & (asked_at < stop), known_at <= start
        if not judge.any() or not fit.any():
            raise TrainingError(
                f"the judged window [{start}, {stop}) needs rows in it and labels known before it, "
                f"but has {judge.sum()} and {fit.sum()}"
            )
        yield Fold(fit=fit.to_numpy(), judge=judge.to_numpy())
