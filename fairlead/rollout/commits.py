"""What a release says in Git: commits, proposals, and the words of both."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from fairlead.rollout.answers import NOTHING, Answers
from fairlead.rollout.decide import Decision
from fairlead.rollout.release import Release

TRAILER = "Fairlead-Revision"
"""Ends the message of each commit that the state machine made, with the revision of the document in it."""
_TRAILER = re.compile(rf"^{TRAILER}: (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Change:
    """A commit that touched a file."""

    commit: str
    author: str
    at: datetime
    message: str

    @property
    def revision(self) -> int | None:
        """Of the document that the state machine wrote; None: somebody else wrote it.

        It tells an honest edit by hand from a decision. It is no proof: who may push may write what they like.
        """
        found = _TRAILER.findall(self.message)
        return int(found[-1]) if found else None


@dataclass(frozen=True)
class PullRequest:
    """A proposal to a person."""

    number: int
    url: str
    state: Literal["open", "merged", "closed"]
    """`closed`: without a merge, so the answer was no."""


def message_of(
    before: Release,
    after: Release,
    environment: str,
    *,
    decision: Decision | None = None,
    answers: Answers = NOTHING,
    run: str | None = None,
) -> str:
    """Subject, reason and figures of the commit that makes `before` into `after`."""
    body = "\n".join([str(decision) if decision else after.why, *answers.lines])
    gate = before.gate or after.gate
    links = [f"Gates: {gate.run}"] if gate else []
    links += [f"Decided by: {run}"] if run else []
    subject = f"{after.model} in {environment}: {headline(before, after)}"
    return "\n".join([subject, "", body, "", *links, f"{TRAILER}: {after.revision}", ""])


def headline(before: Release, after: Release) -> str:
    """What changes, in a few words."""
    if after.stage == "rolled_back" and before.stage != "rolled_back":
        return f"roll version {after.refused[-1]} back, {after.stable} answers all requests"
    if after.stage == "promoted" and before.stage != "promoted":
        return f"promote version {after.stable}"
    if after.candidate is not None and after.candidate != before.candidate:
        first = f"copies of {after.mirror}%" if after.stage == "shadow" else f"{after.weight}%"
        return f"try version {after.candidate} with {first} of the requests"
    if after.stage == "canary" and after.weight != before.weight:
        return f"give version {after.candidate} {after.weight}% of the requests"
    if after.stage == "idle" and before.stage != "idle":
        return f"settle, version {after.stable} answers all requests"
    if after.waiting and not before.waiting:
        return f"ask a person about version {after.candidate}"
    if after.hold and not before.hold:
        return f"hold ({after.hold})"
    if before.hold and not after.hold:
        return "resume"
    return f"revision {after.revision} ({after.why})" if after.why else f"revision {after.revision}"
