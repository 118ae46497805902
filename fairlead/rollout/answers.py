"""What records and labels say of a candidate's answers, beside stable's. Pure: the same rows give the same."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from fairlead.performance.labels import join
from fairlead.rollout.blocks import block_means
from fairlead.rollout.comparison import Comparison, compare
from fairlead.rollout.quality import Quality, judge_quality
from fairlead.rollout.ratio import Floats
from fairlead.rollout.release import Release
from fairlead.rollout.stages import evidence_begins
from fairlead.spec.model import AnswersRule, QualityRule, RolloutSpec

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Answers:
    """Of a candidate; what is None was not asked for, or is not known."""

    quality: Quality | None = None
    recorded: int = 0
    """Answers of both versions that count."""
    labels: int = 0
    """Of these, those whose label is known."""
    comparison: Comparison | None = None
    """Of a shadow."""
    unavailable: str | None = None
    """Why records or labels could not be read."""

    @property
    def lines(self) -> list[str]:
        """For a commit message or a person."""
        found = [str(self.comparison)] if self.comparison else []
        if self.quality is None:
            return found
        return [f"{self.quality}; the labels of {self.labels} of {self.recorded} recorded answers are known", *found]


NOTHING = Answers()


def judge_answers(
    predictions: "pd.DataFrame", labels: "pd.DataFrame", release: Release, spec: RolloutSpec, now: datetime
) -> Answers:
    """Judge a candidate in its stage: in the shadow by answers to the same requests, afterwards arm by arm.

    Args:
        predictions: `key`, `version`, `asked_at`, `score`, `decision`, `answered_at`: see `since_when`.
        labels: `key`, `label`, `known_at`.
        release: in stage shadow or canary.
        spec: the model's.
        now: labels that became known later do not count.

    Raises:
        RolloutError: a loss is not within [0, 1].
    """
    assert release.candidate is not None, "there is one in these stages"
    shadow = release.stage == "shadow"
    comparison = None
    if shadow:
        both = _side_by_side(predictions.drop_duplicates(["key", "version"]), release)
        tolerance = (spec.answers or AnswersRule()).tolerance
        comparison = compare(_floats(both["score_stable"]), _floats(both["score_candidate"]), tolerance)
    if spec.quality is None:
        return Answers(recorded=len(predictions), comparison=comparison)
    # How long a label may take is not asked here: awaited or overdue, it is not known.
    known = join(predictions, labels, now, longest_delay=timedelta(0)).known()
    known = _with_losses(known, spec.quality)
    stable, candidate = _pairs(known, release) if shadow else _blocks(known, release)
    quality = judge_quality(stable, candidate, margin=spec.quality.margin)
    return Answers(quality=quality, recorded=len(predictions), labels=len(known), comparison=comparison)


def since_when(release: Release, spec: RolloutSpec) -> datetime:
    """Answers given before do not count: in the shadow all count, afterwards those behind the warm-up.

    Until then a gateway may still send copies as well, which do not always say that they are some.

    Raises:
        RolloutError: there is nothing to judge in this stage.
    """
    warm_up = timedelta(0) if release.stage == "shadow" else timedelta(seconds=spec.warm_up_seconds)
    return evidence_begins(release) + warm_up


def _with_losses(known: "pd.DataFrame", rule: QualityRule) -> "pd.DataFrame":
    """With `loss`, in the order in which answer and label were both known; without what has none."""
    if rule.loss == "squared_error":
        losses = (known["score"] - known["label"]) ** 2
    else:
        decided = known["decision"].notna()
        known = known[decided]
        losses = (known["decision"].astype(np.float64) - known["label"].astype(np.float64)).abs()
    # A label of the past, as when old requests are played again, is met when the answer is there.
    known = known.assign(loss=losses.astype(np.float64), at=_later(known["known_at"], known["answered_at"]))
    return known.sort_values(["at", "key"], kind="stable")


def _pairs(known: "pd.DataFrame", release: Release) -> tuple[Floats, Floats]:
    both = _side_by_side(known, release)
    both = both.assign(at=_later(both["at_stable"], both["at_candidate"])).sort_values(["at", "key"], kind="stable")
    return _floats(both["loss_stable"]), _floats(both["loss_candidate"])


def _blocks(known: "pd.DataFrame", release: Release) -> tuple[Floats, Floats]:
    """Without requests that both versions answered: no arm was drawn for them."""
    alone = known[~known["key"].duplicated(keep=False)]
    return block_means((alone["version"] == release.candidate).to_numpy(), _floats(alone["loss"]))


def _side_by_side(rows: "pd.DataFrame", release: Release) -> "pd.DataFrame":
    """One row for each key that both versions answered, with suffixes."""
    stable, candidate = (rows[rows["version"] == version] for version in (release.stable, release.candidate))
    return stable.merge(candidate, on="key", suffixes=("_stable", "_candidate"), sort=False)


def _later(first: "pd.Series[pd.Timestamp]", second: "pd.Series[pd.Timestamp]") -> "pd.Series[pd.Timestamp]":
    """Row by row; `max` of two columns would go through Python objects."""
    return first.where(first >= second, second)


def _floats(column: "pd.Series[float]") -> Floats:
    return np.asarray(column, dtype=np.float64)
