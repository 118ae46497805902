"""The stages of a release, as a pure function: a document, an event and the spec give the next document.

    idle ─► shadow ─► canary (a step for each weight) ─► promoted ─► idle
              │          │                                  │          │
              └──────────┴────────────► rolled_back ◄───────┴──────────┘

In `promoted` the stable service takes the new version while the candidate's still answers everything; when stable is
ready the release settles, and the candidate is stopped. What is not drawn is refused with the reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fairlead.errors import RolloutError
from fairlead.rollout.comparison import Comparison
from fairlead.rollout.decide import Decision, Verdict, decide
from fairlead.rollout.quality import Quality
from fairlead.rollout.reference import Reference
from fairlead.rollout.release import Approval, Gate, Release
from fairlead.rollout.windows import Window
from fairlead.spec.model import RolloutSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened."""

    at: datetime
    revision: int
    """Of the document that was seen when it happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(Event):
    """A candidate that passed its gates is to be tried."""

    version: str
    run: str
    """Where it can be read that the version passed."""
    again: bool = False
    """A person wants a version tried that was rolled back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observe(Event):
    """The windows were judged."""

    verdict: Verdict
    reason: str
    quality: Quality | None = None
    """Where labelled records were compared."""
    comparison: Comparison | None = None
    """Of both versions' answers, in the shadow."""

    @classmethod
    def of(
        cls,
        decision: Decision,
        *,
        at: datetime,
        revision: int,
        quality: Quality | None = None,
        comparison: Comparison | None = None,
    ) -> "Observe":
        """What a decision says to a release."""
        return cls(
            at=at,
            revision=revision,
            verdict=decision.verdict,
            reason=decision.reason,
            quality=quality,
            comparison=comparison,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle(Event):
    """The stable service answers with the version that was promoted, or the person has read about the rollback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ByPerson(Event):
    """A person's word."""

    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Abort(ByPerson):
    """Roll back."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(ByPerson):
    """Nothing goes on for now."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume(ByPerson):
    """It may go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approve(ByPerson):
    """Go on, though the figures did not decide."""


def step(release: Release, event: Event, spec: RolloutSpec) -> Release:
    """The next document; the same object if the event changes nothing.

    Raises:
        RolloutError: the event is not legal here, or was made for another revision of the document.
    """
    if event.revision != release.revision:
        raise RolloutError(
            f"{_named(event)} was made for revision {event.revision} of the release of {release.model}, but this is "
            f"revision {release.revision}: read it again"
        )
    if event.at < release.since and not _is_rollback(event):
        raise RolloutError(
            f"{_named(event)} at {event.at.isoformat()} is before the stage {release.stage} began at "
            f"{release.since.isoformat()}: a clock is wrong"
        )
    match event:
        case Start():
            return _start(release, event, spec)
        case Observe():
            return _observe(release, event, spec)
        case Settle():
            return _settle(release, event)
        case Abort():
            return _roll_back(release, event, f"{event.by}: {event.reason}")
        case Hold():
            return _changed(release, event, hold=f"{event.by}: {event.reason}", why=f"held by {event.by}")
        case Resume():
            if release.hold is None:
                raise RolloutError(f"nothing to resume: the release of {release.model} is not held")
            return _changed(release, event, hold=None, why=f"resumed by {event.by}")
        case Approve():
            return _approve(release, event, spec)
    raise RolloutError(f"{_named(event)} is no event of a release")


def progress(release: Release, spec: RolloutSpec) -> float:
    """How much of the evidence the next step asks for: nothing in the shadow, all of it for the promotion.

    A weight that is no step of the spec (the spec was changed) counts as the next lower step.
    """
    if release.stage != "canary":
        return 0.0
    done = sum(weight <= release.weight for weight in spec.weights)
    return max(done, 1) / len(spec.weights)


def evidence_begins(release: Release) -> datetime:
    """Since when windows count: in the shadow since the candidate came, afterwards since its first request.

    Raises:
        RolloutError: there is nothing to judge in this stage.
    """
    since = release.started if release.stage == "shadow" else release.traffic_since
    if release.stage not in ("shadow", "canary") or since is None:
        raise RolloutError(f"nothing to judge in stage {release.stage}")
    return since


def judge(
    release: Release, windows: Sequence[Window], reference: Reference, spec: RolloutSpec, now: datetime
) -> Decision:
    """Judge the candidate in its stage: in the shadow by the copies, afterwards by all requests it has had.

    Args:
        release: in stage shadow or canary.
        windows: see `decide`.
        reference: stable in the hour before the shadow, or before the first request.
        spec: the model's.
        now: when it is asked.

    Raises:
        RolloutError: there is nothing to judge in this stage, or the windows are not in order.
    """
    since = evidence_begins(release)
    done = progress(release, spec)
    needed = spec.shadow_minutes if release.stage == "shadow" else done * spec.min_minutes
    return decide(windows, reference, spec, since=since, now=now, progress=done, min_minutes=needed)


def most_differing(release: Release, spec: RolloutSpec) -> float | None:
    """Share of answers unlike stable's beyond which a person ends the shadow; None: nobody needs to be asked."""
    return spec.answers.most_differing if release.stage == "shadow" and spec.answers is not None else None


def asks_person(environment: str, before: Release, after: Release, spec: RolloutSpec) -> bool:
    """Whether the environment wants a person to agree to this change: a promotion, never a rollback."""
    return environment in spec.approve and after.stage == "promoted" and before.stage != "promoted"


def _start(release: Release, event: Start, spec: RolloutSpec) -> Release:
    if release.stage not in ("idle", "rolled_back"):
        raise RolloutError(
            f"version {event.version!r} cannot start: {release.candidate!r} is in stage {release.stage}. Abort it first"
        )
    if release.hold is not None:
        raise RolloutError(f"version {event.version!r} cannot start: the release is held ({release.hold})")
    if event.version == release.stable:
        raise RolloutError(f"version {event.version!r} cannot start: it is the stable version")
    if event.version in release.refused and not event.again:
        raise RolloutError(f"version {event.version!r} cannot start: it was rolled back. Say `again` to try it again")
    shadow = spec.shadow_minutes > 0
    return _changed(
        release,
        event,
        stage="shadow" if shadow else "canary",
        strategy=spec.strategy,
        candidate=event.version,
        weight=0 if shadow else spec.weights[0],
        mirror=spec.mirror_percent if shadow else 0,
        gate=Gate(version=event.version, run=event.run),
        started=event.at,
        traffic_since=None if shadow else event.at,
        since=event.at,
        refused=[version for version in release.refused if version != event.version],
        why=f"version {event.version} passed its gates ({event.run})",
    )


def _observe(release: Release, event: Observe, spec: RolloutSpec) -> Release:
    if release.stage not in ("shadow", "canary"):
        raise RolloutError(f"nothing to judge in stage {release.stage}")
    quality = event.quality
    if event.verdict == "roll_back":
        return _roll_back(release, event, event.reason)
    if quality is not None and quality.verdict == "worse":
        return _roll_back(release, event, f"The candidate's answers are worse: {quality}.")
    if release.hold is not None:
        return release
    if event.verdict == "ask_person" and release.waiting is None:
        return _changed(release, event, waiting=event.reason, why="undecided: a person is asked")
    if event.verdict != "advance" or release.waiting is not None or _before_time(release, event, spec):
        return release
    if needs_quality(release, spec) and (quality is None or quality.verdict != "not_worse"):
        return release
    limit = most_differing(release, spec)
    if limit is not None and event.comparison is None:
        return release
    if limit is not None and event.comparison is not None and event.comparison.share > limit:
        said = f"More than {limit:.2%} of the answers are not stable's; {event.comparison}."
        return _changed(release, event, waiting=said, why="other answers: a person is asked")
    return _advance(release, event, spec, event.reason)


def _before_time(release: Release, event: Event, spec: RolloutSpec) -> bool:
    return release.stage == "shadow" and (event.at - release.since).total_seconds() < 60 * spec.shadow_minutes


def needs_quality(release: Release, spec: RolloutSpec) -> bool:
    """Whether the next step asks for labels that show no harm."""
    if spec.quality is None:
        return False
    return _is_last(release, spec) if release.strategy == "ab" else release.stage == "shadow"


def _is_last(release: Release, spec: RolloutSpec) -> bool:
    return release.stage == "canary" and _next_weight(release, spec) is None


def _next_weight(release: Release, spec: RolloutSpec) -> int | None:
    return next((weight for weight in spec.weights if weight > release.weight), None)


def _advance(release: Release, event: Event, spec: RolloutSpec, why: str) -> Release:
    if release.strategy != spec.strategy:
        raise RolloutError(
            f"the strategy became {spec.strategy} while {release.candidate!r} is tried by {release.strategy}: abort it "
            f"and start it again"
        )
    if release.strategy == "shadow":
        return _changed(release, event, **_NO_CANDIDATE, stage="idle", since=event.at, why=f"end of the shadow: {why}")
    weight = _next_weight(release, spec)
    if weight is not None:
        return _changed(
            release,
            event,
            stage="canary",
            weight=weight,
            mirror=0,
            traffic_since=release.traffic_since or event.at,
            since=event.at,
            waiting=None,
            why=why,
        )
    return _changed(
        release,
        event,
        stage="promoted",
        stable=release.candidate,
        previous=release.stable,
        weight=100,
        since=event.at,
        waiting=None,
        why=why,
    )


def _settle(release: Release, event: Settle) -> Release:
    if release.stage not in ("promoted", "rolled_back"):
        raise RolloutError(f"stage {release.stage} does not settle: it is decided by figures or by a person")
    return _changed(release, event, **_NO_CANDIDATE, stage="idle", since=event.at, why="settled")


def _approve(release: Release, event: Approve, spec: RolloutSpec) -> Release:
    if release.waiting is None:
        raise RolloutError(f"nothing to approve: the release of {release.model} waits for nobody")
    if release.hold is not None:
        raise RolloutError(f"cannot go on: the release is held ({release.hold}). Resume it first")
    approval = Approval(by=event.by, at=event.at, what=f"{release.stage} at {release.weight}%: {release.waiting}")
    after = _advance(release, event, spec, f"approved by {event.by}")
    return after if after.candidate is None else after.model_copy(update={"approvals": [*release.approvals, approval]})


def _roll_back(release: Release, event: Event, why: str) -> Release:
    if release.stage == "rolled_back":
        raise RolloutError(f"nothing to roll back: {release.model} is rolled back already ({release.why})")
    bad = release.candidate or release.stable
    stable = release.previous if bad == release.stable else release.stable
    if stable is None or stable in release.refused:
        raise RolloutError(f"nothing to roll back to: there is no version before {bad!r}")
    return _changed(
        release,
        event,
        **_NO_CANDIDATE,
        stage="rolled_back",
        stable=stable,
        previous=None if stable == release.previous else release.previous,
        since=max(event.at, release.since),
        refused=[*(version for version in release.refused if version != bad), bad],
        why=why,
    )


_NO_CANDIDATE: Mapping[str, Any] = {
    "candidate": None,
    "weight": 0,
    "mirror": 0,
    "gate": None,
    "started": None,
    "traffic_since": None,
    "waiting": None,
    "approvals": [],
}


def _changed(release: Release, event: Event, **fields: Any) -> Release:
    """The document with other fields; validated, as `model_copy` is not."""
    return Release.model_validate({**dict(release), "revision": event.revision + 1, **fields})


def _is_rollback(event: Event) -> bool:
    return isinstance(event, Abort) or (isinstance(event, Observe) and event.verdict == "roll_back")


def _named(event: Event) -> str:
    return type(event).__name__.lower()
