"""What a replay has found: light enough for whoever only shows it."""

from datetime import date

from pydantic import BaseModel, ConfigDict


class Retraining(BaseModel):
    """One retraining of a policy."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    version: str
    """The day as of which it was trained; empty where it failed."""
    trigger: str
    why: str
    accepted: bool
    reasons: tuple[str, ...] = ()
    """Of a refusal."""


class PolicyResult(BaseModel):
    """One policy over the whole range."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    name: str
    periods: dict[date, float | None]
    """First day of each month or week → ROC AUC of what was answered in it; None: one class only."""
    mean: float
    """Of the periods."""
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

    @property
    def weekly(self) -> bool:
        """Periods are weeks, not months."""
        begins = sorted(self.policies[0].periods)
        return len(begins) < 2 or (begins[-1] - begins[0]).days < 28 * (len(begins) - 1)

    def policy(self, name: str) -> PolicyResult:
        """One of the policies."""
        return next(item for item in self.policies if item.name == name)
