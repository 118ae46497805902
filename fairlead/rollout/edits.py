"""Changes of the document by hand: respected if they are safe, refused with the rule if not."""

from collections.abc import Collection
from typing import Any

from fairlead.errors import RolloutError
from fairlead.rollout.release import Release
from fairlead.spec.model import RolloutSpec


def adopt(before: Release, after: Release, spec: RolloutSpec, *, gated: Collection[str]) -> Release:
    """Take a document as somebody else left it, a person or another controller.

    A document that went back to an earlier revision is a revert. It is respected, and held, so that the figures that
    led to the change do not make it again at once. Everything else must follow these rules:

    1. It is of the same model.
    2. A version that was rolled back stays refused. (To try it again, start it again.)
    3. `stable` is what it was, or the candidate that just got requests (a promotion), or the version before (a revert).
       `previous` follows from that, or is left out.
    4. A candidate with copies or requests is one of `gated`, whatever the document says of its gate.
    5. A weight that rises is one of the spec's.

    Args:
        before: the last document known to be good.
        after: the document found.
        spec: the model's.
        gated: versions that passed their gates, by the registry.

    Returns:
        The document to go on with; it differs from `after` where a revision or a hold had to be added, and is then to
        be committed.

    Raises:
        RolloutError: a rule is broken; `before` remains the good one.
    """
    if after == before:
        return before
    if after.model != before.model:
        raise RolloutError(f"model must remain {before.model!r}, but is {after.model!r}")
    lost = [
        version
        for version in before.refused
        if version not in after.refused and not _is_restart(before, after, version)
    ]
    if lost:
        raise RolloutError(f"refused must keep {', '.join(lost)}, which was rolled back: a rollback is not edited away")
    _require_stable(before, after)
    if after.candidate is not None and after.candidate not in gated and after.stage != "promoted":
        raise RolloutError(f"candidate {after.candidate!r} has not passed its gates, whatever `gate` says")
    if after.stage == "canary" and after.weight > _weight_before(before, after) and after.weight not in spec.weights:
        raise RolloutError(f"weight must be one of {', '.join(map(str, spec.weights))}, but is {after.weight}")
    return _numbered(before, after)


def _is_restart(before: Release, after: Release, version: str) -> bool:
    """A start takes a version off the list. It is later than the rollback, where a revert of the rollback is not."""
    later = after.started is not None and after.started >= before.since and after.revision > before.revision
    return before.candidate is None and after.candidate == version and later


def _require_stable(before: Release, after: Release) -> None:
    if after.stable == before.stable:
        known = before.previous
    elif before.stage == "canary" and after.stage in ("promoted", "idle") and after.stable == before.candidate:
        known = before.stable
    elif after.stable == before.previous and after.stage != "promoted":
        return  # what was before the version before is not known here: `_numbered` forgets it
    else:
        raise RolloutError(
            f"stable must be {before.stable!r}, the candidate that gets requests or the version before, but is "
            f"{after.stable!r}: a version becomes stable by a rollout"
        )
    if after.previous not in (None, known):
        raise RolloutError(f"previous must be {known!r}, but is {after.previous!r}: the way back is not chosen by hand")


def _weight_before(before: Release, after: Release) -> int:
    return before.weight if before.candidate == after.candidate else 0


def _numbered(before: Release, after: Release) -> Release:
    fields: dict[str, Any] = {}
    if after.stable == before.previous:
        fields["previous"] = None
    if after.revision != before.revision + 1:
        fields["revision"] = max(before.revision, after.revision) + 1
    if after.revision < before.revision and after.hold is None:
        fields["hold"] = f"a person went back from revision {before.revision} to {after.revision}"
    return Release.model_validate({**dict(after), **fields}) if fields else after
