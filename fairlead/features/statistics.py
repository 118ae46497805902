"""What a training set looks like, column by column and period by period."""

import numpy as np
from pydantic import BaseModel, ConfigDict

from fairlead.features.training_set import ASKED_AT, LABEL, TrainingSet
from fairlead.packaging.signature import Signature
from fairlead.training.splits import Periods


class PeriodRows(BaseModel):
    """One period of a training set."""

    model_config = ConfigDict(frozen=True)

    name: str
    start: str
    end: str
    rows: int
    positive_share: float


class ColumnStatistics(BaseModel):
    """One model input over all periods."""

    model_config = ConfigDict(frozen=True)

    name: str
    source: str
    kind: str
    missing_share: float
    categories: int | None
    mean: float | None
    low: float | None
    high: float | None


def describe_periods(training_set: TrainingSet, periods: Periods) -> list[PeriodRows]:
    """Rows and base rate by period."""
    result = []
    for name in ("train", "validation", "test"):
        rows = training_set.part(name)
        start, end = periods.bounds(name)
        assert rows[ASKED_AT].between(start, end).all(), "rows lie in their period"
        result.append(
            PeriodRows(
                name=name,
                start=start.isoformat(),
                end=end.isoformat(),
                rows=len(rows),
                positive_share=float(rows[LABEL].mean()),
            )
        )
    return result


def describe_columns(training_set: TrainingSet, signature: Signature) -> list[ColumnStatistics]:
    """Missingness and range of each model input."""
    result = []
    for item in signature.inputs:
        column = training_set.rows[item.name]
        numbers = column.dropna().to_numpy(np.float64) if item.kind == "number" else np.array([])
        result.append(
            ColumnStatistics(
                name=item.name,
                source=item.source,
                kind=item.kind,
                missing_share=float(column.isna().mean()),
                categories=len(item.categories) if item.kind == "category" else None,
                mean=float(numbers.mean()) if len(numbers) else None,
                low=float(numbers.min()) if len(numbers) else None,
                high=float(numbers.max()) if len(numbers) else None,
            )
        )
    return result
