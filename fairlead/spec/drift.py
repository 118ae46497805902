"""How a model is watched for drift: the section `drift` of a model file."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from fairlead.spec._base import Duration, Spec

NumberTest = Literal["ks", "psi", "missing"]
CategoryTest = Literal["chi_square", "missing"]
DAY = timedelta(days=1)
OF_ALIBI = {"ks", "missing"}


class EffectsSpec(Spec):
    """The smallest effect that counts, by test: with many rows every difference is significant."""

    ks: float = Field(default=0.1, ge=0, le=1)
    """Largest difference of two distribution functions."""
    psi: float = Field(default=0.1, ge=0)
    """The index; 0.1 and 0.25 are usual."""
    chi_square: float = Field(default=0.1, ge=0, le=1)
    """Cramér's V."""
    missing: float = Field(default=0.05, ge=0, le=1)
    """Difference of the shares of missing values."""


class DriftSpec(Spec):
    """Windows of records against the rows that the model was trained on."""

    engine: Literal["own", "alibi"] = "own"
    """`alibi`: alibi-detect 0.11.4, which needs an environment of its own."""
    window: Duration = DAY
    """What is compared at once; whole hours. Windows of days begin at midnight where the data is from."""
    windows: int = Field(default=5, ge=1, le=100)
    """How many of the last windows an alarm looks at."""
    breaches: int = Field(default=3, ge=1)
    """How many of them must show drift for an alarm. One at 5% is wrong every twentieth window."""
    entity: list[str] | None = None
    """Columns that say whom a row is about; of each only the newest row of a window counts. Absent: the keys by which
    features are looked up. `[]`: every row is about somebody else."""
    ignore: list[str] = []
    """Inputs that may change, such as one that counts up."""
    numbers: Annotated[list[NumberTest], Field(min_length=1)] = ["ks", "missing"]
    categories: Annotated[list[CategoryTest], Field(min_length=1)] = ["chi_square", "missing"]
    level: float = Field(default=0.05, gt=0, lt=0.5)
    """Chance that a window without a change counts as drift, over all columns and kinds together."""
    effects: EffectsSpec = EffectsSpec()
    usual: bool = True
    """An effect must also exceed what 95% of the windows of the reference show: days differ from each other. Known
    only if the reference has eight windows or more."""
    min_rows: int = Field(default=200, ge=50)
    """Of a window, one row an entity; with fewer the verdict is "not enough data"."""
    max_unmatched: float = Field(default=0.2, ge=0, le=1)
    """Share of a window's rows at hours of the week that the reference hardly has; above it: "not enough data"."""
    missing_margin: float = Field(default=0.2, gt=0, le=1)
    """By how much the share of rows without a looked-up feature may exceed the reference's before upstream counts as
    broken, whatever the tests say."""
    max_age: Duration | None = None
    """How old the newest row of a feature table may be. Absent: the TTL of its view."""
    schedule: Annotated[str, StringConstraints(pattern=r"^\S+( \S+){4}$")] = "20 * * * *"
    """When the job runs on a cluster: `minute hour day month weekday` in UTC, as a CronJob takes it."""

    @model_validator(mode="after")
    def _sensible(self) -> "DriftSpec":
        if self.window < timedelta(hours=1) or self.window % timedelta(hours=1):
            raise ValueError(f"window must be a number of whole hours, but is {self.window}")
        if self.window > DAY and self.window % DAY:
            raise ValueError(f"window must be of whole days where it is longer than one, but is {self.window}")
        if self.window < DAY and DAY % self.window:
            raise ValueError(f"window must divide a day where it is shorter than one, but is {self.window}")
        if self.breaches > self.windows:
            raise ValueError(f"breaches must be at most windows, {self.windows}, but is {self.breaches}")
        if self.engine == "alibi" and not set(self.numbers) <= OF_ALIBI:
            raise ValueError(f"numbers must be of {sorted(OF_ALIBI)} for the engine alibi, but are {self.numbers}")
        return self
