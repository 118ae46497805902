"""What a check says of one thing."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, ParamSpec

from fairlead.errors import NotAllowedError

State = Literal["ok", "problem", "cannot tell"]
P = ParamSpec("P")


@dataclass(frozen=True)
class Finding:
    """One line of what `fairlead doctor` prints."""

    state: State
    what: str
    """What was looked at, and where: `Secret fairlead-dev/fairlead-storage`."""
    found: str
    mend: str = ""
    """The command or the file that mends it; of whatever is not ok."""


def ok(what: str, found: str) -> Finding:
    return Finding("ok", what, found)


def problem(what: str, found: str, mend: str) -> Finding:
    return Finding("problem", what, one_line(found), mend)


def unknown(what: str, found: str, mend: str) -> Finding:
    """What is neither right nor wrong yet, or cannot be read."""
    return Finding("cannot tell", what, one_line(found), mend)


def telling(check: Callable[P, Iterable[Finding]]) -> Callable[P, list[Finding]]:
    """The check, which says so where it may not read, so that others go on."""

    @wraps(check)
    def run(*args: P.args, **kwargs: P.kwargs) -> list[Finding]:
        try:
            return list(check(*args, **kwargs))
        except NotAllowedError as error:
            return [unknown(error.what, f"may not be read: {error}", "ask for the right to get and list it")]

    return run


def one_line(text: str, most: int = 600) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def condition(thing: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A condition of an object's status; empty if nobody has set it."""
    conditions = thing.get("status", {}).get("conditions") or []
    return next((item for item in conditions if item["type"] == name), {})
