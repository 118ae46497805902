"""One look at a release: read it from Git, judge its candidate, write what follows. It keeps nothing between looks."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from fairlead.errors import CountsError, ReleaseConflictError, RolloutError, SpecError
from fairlead.ports import PullRequests, ReleaseCounters, ReleaseRepository
from fairlead.rollout.answers import NOTHING, Answers
from fairlead.rollout.commits import TRAILER, PullRequest, message_of
from fairlead.rollout.counters import Evidence, evidence_of, snapshots_begin
from fairlead.rollout.decide import ASKED, Decision
from fairlead.rollout.file import FILE, release_path, render_release
from fairlead.rollout.history import Gated, Standing, standing_at
from fairlead.rollout.quality import Quality
from fairlead.rollout.release import Release
from fairlead.rollout.stages import Event, Hold, Observe, Settle, asks_person, judge, step
from fairlead.spec.dataset import nearest
from fairlead.spec.environment import EnvironmentSpec
from fairlead.spec.load import AnySpec, load_text
from fairlead.spec.model import ModelSpec, RolloutSpec

ENVIRONMENTS = "manifests/envs"
Result = Literal[
    "nothing", "advanced", "promoted", "rolled_back", "asked", "settled", "adopted", "put_back", "proposed", "held",
    "overtaken",
]  # fmt: skip
"""What a look did. `overtaken`: somebody else changed the release first, so that nothing was written."""


@dataclass(frozen=True)
class Place:
    """A release with all that it is judged by, as of one commit."""

    commit: str
    path: str
    environment: EnvironmentSpec
    spec: RolloutSpec
    standing: Standing

    @property
    def release(self) -> Release:
        """The last good document."""
        return self.standing.release


@dataclass(frozen=True)
class Look:
    """What was seen, and what was done about it."""

    at: datetime
    release: Release
    """As it is now, with what this look wrote."""
    result: Result
    reason: str
    """One sentence."""
    decision: Decision | None = None
    """None where nothing is to be judged, or cannot be."""
    unavailable: str | None = None
    """Why counts or answers cannot be relied on; None: they can, or none are needed."""
    commit: str | None = None
    """That was made."""
    proposal: PullRequest | None = None
    every_seconds: float = 30.0
    """As often is it worth looking."""
    answers: Answers = NOTHING


@dataclass
class Controller:
    """Looks at the releases of one environment. All that it knows it reads anew each time."""

    repository: ReleaseRepository
    branch: str
    """Into which proposals go."""
    environment: str
    counters: ReleaseCounters
    gated: Gated
    """Asked where an edit by hand brings a candidate."""
    pulls: PullRequests | None = None
    """Needed where a model's `approve` names the environment."""
    answers: Callable[[Release, RolloutSpec, datetime], Answers] = lambda release, spec, now: NOTHING
    """What records and labels say of the candidate's answers by now; it raises nothing."""
    run: str | None = None
    """Where the controller's own log can be read."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _places: dict[str, Place] = field(default_factory=dict)
    """Model → what its last look read. A commit never changes, so that it is as good as reading it again."""

    def models(self) -> list[str]:
        """The models that have a release in this environment.

        Raises:
            RolloutError: the repository cannot be read.
        """
        folder = f"{ENVIRONMENTS}/{self.environment}"
        paths = [Path(path) for path in self.repository.files(self.repository.head(), folder)]
        return [path.parent.name for path in paths if path.name == FILE and path.parent.parent.name == self.environment]

    def look(self, model: str) -> Look:
        """Look once, and write at most one commit or proposal.

        Raises:
            RolloutError: Git or the pull requests cannot be read or written, a spec is broken, or there is no document
                to go on from: nothing was changed.
        """
        place = self.place(model)
        try:
            return self._act(place)
        except ReleaseConflictError as error:
            return self._seen(place, "overtaken", f"Another was first, and is read at the next look: {error}")

    def place(self, model: str) -> Place:
        """A release at the branch's head.

        Raises:
            RolloutError: as `look`.
        """
        commit = self.repository.head()
        seen = self._places.get(model)
        if seen is not None and seen.commit == commit:
            return seen
        path = release_path(self.environment, model).as_posix()
        if self.repository.read(commit, path) is None:
            known = self.models()
            raise RolloutError(f"{self.environment} has no release of {model!r}" + nearest(model, known))
        environment = self._spec(commit, f"{ENVIRONMENTS}/{self.environment}/environment.yaml", EnvironmentSpec)
        spec = self._spec(commit, f"pipelines/models/{model}.yaml", ModelSpec).rollout
        standing = standing_at(self.repository, commit, path, environment, spec, self.gated)
        self._places[model] = Place(commit, path, environment, spec, standing)
        return self._places[model]

    def judge(self, place: Place, now: datetime) -> tuple[Decision, Evidence]:
        """What the counts so far say of the candidate, and what it was said on; nothing is written.

        Raises:
            CountsError: they cannot be read.
            RolloutError: there is no candidate to judge.
        """
        release, spec = place.release, place.spec
        found = self.counters.snapshots(release, snapshots_begin(release, spec), now, spec.window_seconds)
        evidence = evidence_of(found, self.counters.bounds, release, spec, now)
        decision = judge(release, evidence.windows, evidence.reference, spec, now)
        return _with_reason(decision, evidence), evidence

    def apply(self, place: Place, event: Event, result: Result = "nothing") -> Look:
        """Write what an event makes of a release; for what persons ask.

        Raises:
            RolloutError: it is not legal, or cannot be written.
            ReleaseConflictError: somebody else changed the release since it was read.
        """
        return self._write(place, step(place.release, event, place.spec), result, None, None)

    def _spec(self, commit: str, path: str, kind: type[AnySpec]) -> AnySpec:
        text = self.repository.read(commit, path)
        if text is None:
            raise RolloutError(f"{path} must be there, but is not in {commit[:10]}")
        try:
            return load_text(text, Path(path), kind)
        except SpecError as error:
            raise RolloutError(str(error)) from None

    def _act(self, place: Place) -> Look:
        release, standing = place.release, place.standing
        if standing.problem is not None:
            return self._put_back(place, standing.problem)
        if standing.edited:
            return self._write(place, release, "adopted", None, None)
        match release.stage:
            case "shadow" | "canary":
                return self._judge(place)
            case "promoted":
                return self._settle(place)
        return self._seen(place, "nothing", "There is no candidate.")

    def _put_back(self, place: Place, problem: str) -> Look:
        """The last good document again, under a revision of its own."""
        good = place.release
        after = good.model_copy(update={"revision": good.revision + 1, "why": "an edit that breaks a rule is undone"})
        text = render_release(after, place.environment, place.standing.text)
        subject = f"{good.model} in {self.environment}: put revision {good.revision} back"
        message = f"{subject}\n\n{problem}\n\n{TRAILER}: {after.revision}\n"
        commit = self.repository.commit(place.path, text, message, seen=place.commit)
        return self._seen(replace_release(place, after), "put_back", problem, commit=commit)

    def _judge(self, place: Place) -> Look:
        now, release = self.clock(), place.release
        try:
            decision, evidence = self.judge(place, now)
        except CountsError as error:
            return self._seen(place, "nothing", "Held: the counts cannot be read.", unavailable=str(error))
        answers = self.answers(release, place.spec, now)
        decision = _with_quality(decision, answers.quality)
        unavailable = " ".join(filter(None, (evidence.blind, answers.unavailable))) or None
        after = release
        if decision.verdict not in ("hold", "wait"):
            event = Observe.of(
                decision, at=now, revision=release.revision, quality=answers.quality, comparison=answers.comparison
            )
            after = step(release, event, place.spec)
            if after is release and _evidence_is_late(release, decision, place.spec):
                decision = replace(decision, verdict="ask_person", reason=_why_late(answers, place), next=ASKED)
                after = step(release, Observe.of(decision, at=now, revision=release.revision), place.spec)
        if after is release:
            reason = _why_still(release, decision, answers)
            seen = self._seen(place, "nothing", reason, decision=decision, unavailable=unavailable)
            return replace(seen, answers=answers)
        if after.waiting is not None:
            decision = replace(decision, verdict="ask_person", reason=after.waiting, next=ASKED)
        written = self._write(place, after, _result(release, after), decision, unavailable, answers)
        return replace(written, answers=answers)

    def _settle(self, place: Place) -> Look:
        """End a promotion as soon as each server of the stable service answers with the new version."""
        release = place.release
        try:
            answering = self.counters.answering(release)
        except CountsError as error:
            return self._seen(place, "nothing", "Waits: who answers cannot be read.", unavailable=str(error))
        others = sorted({version for version in answering.values() if version != release.stable})
        if not answering or others:
            shown = f"with {', '.join(others)}" if others else "not at all"
            return self._seen(place, "nothing", f"Waits: stable should answer with {release.stable}, but does {shown}.")
        event = Settle(at=max(self.clock(), release.since), revision=release.revision)
        return self._write(place, step(release, event, place.spec), "settled", None, None)

    def _write(
        self,
        place: Place,
        after: Release,
        result: Result,
        decision: Decision | None,
        unavailable: str | None,
        answers: Answers = NOTHING,
    ) -> Look:
        before = place.release
        if asks_person(self.environment, before, after, place.spec):
            return self._propose(place, after, decision, answers)
        message = message_of(before, after, self.environment, decision=decision, answers=answers, run=self.run)
        text = render_release(after, place.environment, place.standing.text)
        commit = self.repository.commit(place.path, text, message, seen=place.commit)
        self._withdraw(before)
        done = replace_release(place, after)
        reason = decision.reason if decision else after.why
        return self._seen(done, result, reason, decision=decision, unavailable=unavailable, commit=commit)

    def _propose(self, place: Place, after: Release, decision: Decision | None, answers: Answers) -> Look:
        """A pull request for this revision; one that is open is left alone, one that was closed is a no."""
        if self.pulls is None:
            told = f"{self.environment} asks a person before a promotion, by pull requests, but none are configured"
            raise RolloutError(f"{told}: set FAIRLEAD_GIT_TOKEN")
        before, branch = place.release, self._proposal_branch(place.release)
        found = self.pulls.find(branch)
        if found is not None and found.state == "closed":
            reason = f"pull request {found.url} was closed without a merge"
            event = Hold(at=self.clock(), revision=before.revision, by="a person", reason=reason)
            return self._write(place, step(before, event, place.spec), "held", None, None)
        if found is not None:
            return self._seen(place, "nothing", f"Waits for {found.url}.", decision=decision, proposal=found)
        message = message_of(before, after, self.environment, decision=decision, answers=answers, run=self.run)
        text = render_release(after, place.environment, place.standing.text)
        self.repository.propose(branch, place.path, text, message, seen=place.commit)
        title, _, body = message.partition("\n\n")
        found = self.pulls.open(branch, self.branch, title, f"```\n{body.strip()}\n```\n\nMerge: promote. Close: hold.")
        reason = decision.reason if decision else after.why
        return self._seen(place, "proposed", reason, decision=decision, proposal=found)

    def _proposal_branch(self, release: Release) -> str:
        """One for each revision: what was proposed on another one is void."""
        return f"rollout/{self.environment}/{release.model}-{release.candidate}-r{release.revision}"

    def _withdraw(self, before: Release) -> None:
        """Close what was proposed on a revision that is no more."""
        if self.pulls is None or before.stage != "canary":
            return
        found = self.pulls.find(self._proposal_branch(before))
        if found is not None and found.state == "open":
            self.pulls.close(found)

    def _seen(
        self,
        place: Place,
        result: Result,
        reason: str,
        *,
        decision: Decision | None = None,
        unavailable: str | None = None,
        commit: str | None = None,
        proposal: PullRequest | None = None,
    ) -> Look:
        every = place.spec.window_seconds
        return Look(self.clock(), place.release, result, reason, decision, unavailable, commit, proposal, every)


def replace_release(place: Place, release: Release) -> Place:
    """The place with another document."""
    return replace(place, standing=replace(place.standing, release=release))


def _with_reason(decision: Decision, evidence: Evidence) -> Decision:
    """What is known beside the figures: a dead candidate goes back, and blindness never goes forward."""
    if decision.verdict == "roll_back":
        return decision
    if evidence.gone is not None:
        return replace(decision, verdict="roll_back", reason=evidence.gone, next="all requests go to stable")
    if evidence.blind is not None:
        return replace(decision, verdict="hold", reason=f"Held: {evidence.blind}.")
    if evidence.unclear is not None and decision.verdict in ("hold", "ask_person"):
        return replace(decision, reason=f"{decision.reason} {evidence.unclear}.")
    return decision


def _with_quality(decision: Decision, quality: Quality | None) -> Decision:
    """Answers that are worse decide, whatever the counts say."""
    if quality is None or quality.verdict != "worse" or decision.verdict == "roll_back":
        return decision
    losses = f"mean loss {quality.candidate_loss:.4f} against {quality.stable_loss:.4f}"
    reason = f"The candidate's answers are worse than stable's: {losses}."
    return replace(decision, verdict="roll_back", reason=reason, next="all requests go to stable")


def _evidence_is_late(release: Release, decision: Decision, spec: RolloutSpec) -> bool:
    idle = release.hold is None and release.waiting is None
    return idle and decision.verdict == "advance" and decision.elapsed_minutes >= spec.deadline_minutes


def _why_late(answers: Answers, place: Place) -> str:
    found = answers.quality
    if answers.unavailable is not None:
        gap = answers.unavailable
    elif place.spec.quality is not None and (found is None or found.verdict != "not_worse"):
        gap = "Too few labels are known" + (f": {'; '.join(answers.lines)}." if answers.lines else ".")
    else:
        gap = "No request is recorded that both versions answered."
    return f"No harm is seen, but it is undecided after {place.spec.deadline_minutes:g} minutes. {gap}"


def _why_still(release: Release, decision: Decision, answers: Answers) -> str:
    if decision.verdict in ("hold", "wait"):
        return decision.reason
    if release.hold is not None:
        return f"Held: {release.hold}."
    if release.waiting is not None:
        return f"A person is asked: {release.waiting}"
    if decision.verdict != "advance":
        return decision.reason
    return f"No harm is seen; waits for labels ({answers.quality})." if answers.quality else "No harm is seen; waits."


def _result(before: Release, after: Release) -> Result:
    if after.stage == "rolled_back":
        return "rolled_back"
    if after.stage == "promoted":
        return "promoted"
    if after.waiting is not None and before.waiting is None:
        return "asked"
    return "settled" if after.stage == "idle" else "advanced"
