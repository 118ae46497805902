"""Which document of a release is good, by its commits: the state machine's own, and edits that keep the rules."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fairlead.errors import RolloutError
from fairlead.ports import ReleaseRepository
from fairlead.rollout.commits import Change
from fairlead.rollout.edits import adopt
from fairlead.rollout.file import mend_release, parse_release
from fairlead.rollout.release import Release
from fairlead.spec.environment import EnvironmentSpec
from fairlead.spec.model import RolloutSpec

MOST_CHANGES = 200
"""Of one file, looked through for the last one that the state machine made."""

Gated = Callable[[str], Collection[str]]
"""Model → versions that passed their gates."""


@dataclass(frozen=True)
class Standing:
    """A release as it stands at a commit."""

    release: Release
    """The last good document."""
    text: str
    """Of the file that holds it."""
    problem: str | None = None
    """Why what the newest commit holds is refused; None: it is good."""
    edited: bool = False
    """The newest commit is an edit by hand that was taken, and is to be written as `release` says."""


def standing_at(
    repository: ReleaseRepository,
    commit: str,
    path: str,
    environment: EnvironmentSpec,
    spec: RolloutSpec,
    gated: Gated,
) -> Standing:
    """Go through what was done to a release since the state machine last wrote it.

    Args:
        repository: holds it.
        commit: the branch's head.
        path: of the document.
        environment: in which it is.
        spec: the model's, as of `commit`.
        gated: is asked only where an edit brings a candidate.

    Raises:
        RolloutError: there is no document, or none of the commits holds a good one; the message says what is wrong
            with the newest.
    """
    changes = repository.changes(commit, path, MOST_CHANGES)
    if not changes or repository.read(commit, path) is None:
        raise RolloutError(f"{path} must be a release, but is not there")
    good: Standing | None = None
    problem: str | None = None
    for change in reversed(changes[: _own(changes) + 1]):
        try:
            text = repository.read(change.commit, path)
            good, problem = _taken(good, text, Path(path), environment, spec, gated), None
        except RolloutError as error:
            problem = str(error)
    if good is None:
        raise RolloutError(f"there is no good document to go on from: {problem}")
    return replace(good, problem=problem)


def _own(changes: Sequence[Change]) -> int:
    """The place of the newest one that the state machine made; the oldest if none is."""
    return next((index for index, change in enumerate(changes) if change.revision is not None), len(changes) - 1)


def _taken(
    before: Standing | None, text: str | None, path: Path, environment: EnvironmentSpec, spec: RolloutSpec, gated: Gated
) -> Standing:
    """The document that follows `before`; the first one needs only be sound in itself."""
    if text is None:
        raise RolloutError(f"{path} was removed")
    mended = mend_release(text, path, environment)
    release = parse_release(mended, path, environment)
    if before is None:
        return Standing(release, text, edited=mended != text)
    try:
        taken = adopt(before.release, release, spec, gated=_versions(before.release, release, gated))
    except RolloutError as error:
        raise RolloutError(f"{path}{_line(text, str(error))}: {error}") from None
    return Standing(taken, text, edited=taken != release or mended != text)


def _versions(before: Release, after: Release, gated: Gated) -> Collection[str]:
    if after.candidate in (None, before.candidate) or after.stage == "promoted":
        return [after.candidate] if after.candidate else []
    return gated(after.model)


def _line(text: str, message: str) -> str:
    """Where the key is that a rule names first: `:14`; empty if the document leaves it out."""
    key = message.split()[0]
    lines = enumerate(text.splitlines(), start=1)
    return next((f":{number}" for number, line in lines if line.strip().startswith(f"{key}:")), "")
