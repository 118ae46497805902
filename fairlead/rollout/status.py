"""What is known of a release, for a person or a script."""

from dataclasses import asdict, dataclass
from datetime import datetime
from math import exp
from typing import Any

from fairlead.errors import CountsError
from fairlead.rollout.answers import NOTHING, Answers
from fairlead.rollout.control import Controller, Place
from fairlead.rollout.decide import Decision
from fairlead.rollout.evidence import LOG_HARD
from fairlead.rollout.release import Release
from fairlead.rollout.stages import needs_quality

BLOCKS = "▁▂▃▄▅▆▇█"
LARGEST_LOG = 700.0
"""Of what `exp` can take."""


@dataclass(frozen=True)
class Curve:
    """One e-process over time, as logarithms."""

    signal: str
    of: str
    """`harm` or `no harm`."""
    values: tuple[float, ...]
    """After each window behind the warm-up."""
    now: float
    """What counts: of harm the largest so far, of no harm the newest."""
    threshold: float
    """At which it decides; minus infinity where nothing is asked of it."""

    @property
    def text(self) -> str:
        """`e = 12.3 of 28.6`."""
        asked = f" of {_e(self.threshold)}" if self.threshold > float("-inf") else ""
        return f"e = {_e(self.now)}{asked}"


@dataclass(frozen=True)
class Status:
    """A release, its evidence and what comes next."""

    environment: str
    release: Release
    at: datetime
    next: str
    decision: Decision | None = None
    problem: str | None = None
    """Of the newest commit, which is not the last good document."""
    unavailable: str | None = None
    """Why there are no counts, or none to rely on."""
    answers: Answers = NOTHING

    @property
    def curves(self) -> list[Curve]:
        """All e-processes of the decision."""
        return curves_of(self.decision) if self.decision else []

    def as_json(self) -> dict[str, Any]:
        """For scripts; times in ISO 8601, evidence as natural logarithms."""
        decision = self.decision
        return {
            "environment": self.environment,
            **self.release.model_dump(mode="json"),
            "at": self.at.isoformat(),
            "verdict": decision.verdict if decision else None,
            "reason": decision.reason if decision else None,
            "next": self.next,
            "problem": self.problem,
            "unavailable": self.unavailable,
            "log_hard": decision.log_hard if decision else None,
            "evidence": [
                {
                    "signal": curve.signal,
                    "of": curve.of,
                    "log_e": curve.now,
                    "log_threshold": curve.threshold if curve.threshold > float("-inf") else None,
                    "log_e_by_window": list(curve.values),
                }
                for curve in self.curves
            ],
            **self._answers_as_json(),
        }

    def _answers_as_json(self) -> dict[str, Any]:
        found = self.answers
        compared = found.comparison
        return {
            "quality": asdict(found.quality) if found.quality else None,
            "answers_recorded": found.recorded,
            "labels_known": found.labels,
            "comparison": {**asdict(compared), "share": compared.share} if compared else None,
            "answers_unavailable": found.unavailable,
        }


def status_of(controller: Controller, model: str) -> Status:
    """Look, and write nothing.

    Raises:
        RolloutError: the release cannot be read.
    """
    place, now = controller.place(model), controller.clock()
    decision, unavailable, answers = None, None, NOTHING
    if place.release.stage in ("shadow", "canary"):
        answers = controller.answers(place.release, place.spec, now)
        try:
            decision, evidence = controller.judge(place, now)
            unavailable = evidence.blind
        except CountsError as error:
            unavailable = str(error)
    said = _next(place, decision, unavailable, answers)
    found = place.standing.problem
    return Status(controller.environment, place.release, now, said, decision, found, unavailable, answers)


def curves_of(decision: Decision) -> list[Curve]:
    """Harm and its absence, by errors and by slow answers."""
    curves = []
    for signal in decision.signals:
        curves += [
            Curve(signal.name, "harm", signal.log_harm, signal.harm, signal.log_roll_back),
            Curve(signal.name, "no harm", signal.log_harmless, signal.harmless, signal.log_advance),
        ]
    return curves


def sparkline(values: tuple[float, ...], threshold: float, width: int) -> str:
    """Logarithms over time in blocks: the lowest is e = 1 or less, the highest the threshold or more.

    Where there are more windows than columns, a column shows the largest of its windows.
    """
    top = threshold if 0 < threshold < float("inf") else max(max(values, default=1.0), 1.0)
    per = max(1, -(-len(values) // width))
    columns = [max(values[first : first + per]) for first in range(0, len(values), per)]
    return "".join(BLOCKS[min(len(BLOCKS) - 1, max(0, int(value / top * (len(BLOCKS) - 1))))] for value in columns)


def hard_stop(decision: Decision) -> str:
    """`e = 0.3 of 200`."""
    return f"e = {_e(decision.log_hard)} of {_e(LOG_HARD)}"


def _next(place: Place, decision: Decision | None, unavailable: str | None, answers: Answers) -> str:
    release = place.release
    if place.standing.problem is not None:
        return "the last good document is put back"
    quality = answers.quality.verdict if answers.quality else "undecided"
    if decision is not None and quality == "worse":
        return "all requests go to stable"
    if unavailable is not None:
        return "nothing, until the counts can be read; nothing is promoted meanwhile"
    if release.hold is not None:
        return f"held ({release.hold}): a person resumes or aborts it; harm still rolls back"
    if release.waiting is not None:
        return f"a person approves or aborts: {release.waiting}"
    if release.stage == "promoted":
        return f"settles when the stable service answers with version {release.stable}"
    if decision is None:
        return "a version that passed its gates can be started"
    if decision.verdict == "advance" and needs_quality(release, place.spec) and quality == "undecided":
        following = "first" if release.stage == "shadow" else "next"
        return f"the {following} step, when labels have shown that the answers are not worse"
    if decision.verdict == "advance" and release.stage == "shadow" and place.spec.shadow_minutes:
        return f"the first step, when the shadow has lasted {place.spec.shadow_minutes:g} minutes"
    return decision.next


def _e(log_value: float) -> str:
    return f"{exp(min(log_value, LARGEST_LOG)):.3g}"
