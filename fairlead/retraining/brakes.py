"""The brakes: a pure state machine over the log. The same entries give the same state, the same state the same answer.

ready ── a request passes ──► running ── ended ──► cooling_down ──► ready
                                 └────── failed ─► (retry_after) ─► ready;  the third in a row ─► backing_off
held: from any state, by a person, until a person releases it
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from fairlead.retraining.entries import Answered, Asked, Began, Ended, Entry, Held, Reason, Released, Withdrawn
from fairlead.spec.retraining import RetrainingSpec

Phase = Literal["ready", "running", "cooling_down", "backing_off", "held"]


@dataclass(frozen=True)
class Run:
    """A retraining under way."""

    name: str
    started_at: datetime
    run_id: str | None = None
    """None: the backend has not taken it, as far as is known."""


@dataclass(frozen=True)
class State:
    """What the log says so far."""

    entries: int = 0
    running: Run | None = None
    hold: Held | None = None
    starts: tuple[datetime, ...] = ()
    """When retrainings were started, in the order of the log."""
    failures: int = 0
    """In a row, since the last that ended otherwise and since the last release."""
    last_end: datetime | None = None
    last_success: datetime | None = None
    asked: Mapping[str, Asked] = field(default_factory=dict)
    """Requests by key, whatever became of them."""
    open: tuple[str, ...] = ()
    """Keys of the requests that wait for an answer, or stand."""
    served: tuple[str, ...] = ()
    """Keys of the standing requests that the run under way is for."""
    answers: Mapping[str, Answered] = field(default_factory=dict)
    """The last answer to each key."""
    refused: Answered | None = None
    """The newest refusal since the last start."""


@dataclass(frozen=True)
class Decision:
    """What the brakes say to a request."""

    reason: Reason
    detail: str
    until: datetime | None = None

    @property
    def starts(self) -> bool:
        """A retraining is to be started."""
        return self.reason in ("free", "overridden")


def read_state(entries: Iterable[Entry]) -> State:
    """The state after all entries."""
    state = State()
    for entry in entries:
        state = after(state, entry)
    return state


def after(state: State, entry: Entry) -> State:
    """The state after one more entry; one that makes no sense here, such as the end of no run, changes nothing."""
    state = replace(state, entries=state.entries + 1)
    match entry:
        case Asked() if entry.key not in state.asked:
            return replace(state, asked={**state.asked, entry.key: entry}, open=(*state.open, entry.key))
        case Withdrawn():
            open_, served = _without(state.open, entry.key), _without(state.served, entry.key)
            return replace(state, open=open_, served=served)
        case Answered():
            return _answered(state, entry)
        case Began() if state.running and state.running.name == entry.run:
            return replace(state, running=replace(state.running, run_id=entry.run_id))
        case Ended() if state.running and state.running.name == entry.run:
            return _ended(state, entry)
        case Held():
            return replace(state, hold=entry)
        case Released():
            return replace(state, hold=None, failures=0)
    return state


def decide(spec: RetrainingSpec, state: State, asked: Asked, now: datetime, new_labels: int) -> Decision:
    """What to answer to a request.

    Args:
        spec: the model's brakes.
        state: of the log up to now.
        asked: the request.
        now: decides what has cooled down. It may be earlier than an entry of another machine's clock: then nothing has.
        new_labels: known now and not at the champion's training.
    """
    if state.running is not None:
        detail = f"{state.running.name} is under way since {_told(state.running.started_at)}"
        return Decision("running", detail, state.running.started_at + spec.longest_run)
    if asked.override:
        return Decision("overridden", f"{asked.by} takes it upon themselves")
    return _listened(spec, asked) or _blocked(spec, state, now) or _labels(spec, new_labels) or Decision("free", "")


def phase(spec: RetrainingSpec, state: State, now: datetime) -> Phase:
    """The one state that holds; a hold hides the others, but for a run under way."""
    if state.running is not None:
        return "running"
    found = _blocked(spec, state, now)
    if found is None or found.reason == "budget":
        return "ready"
    phases: Mapping[Reason, Phase] = {"held": "held", "backing_off": "backing_off", "cooling_down": "cooling_down"}
    return phases[found.reason]


def lost(spec: RetrainingSpec, state: State, now: datetime) -> bool:
    """A run is under way for longer than any may be."""
    return state.running is not None and now - state.running.started_at > spec.longest_run


def runs_in_month(state: State, now: datetime) -> int:
    """Retrainings that were started in the month of `now`."""
    return sum((start.year, start.month) == (now.year, now.month) for start in state.starts)


def _listened(spec: RetrainingSpec, asked: Asked) -> Decision | None:
    if asked.trigger in ("person", *spec.on):
        return None
    return Decision("not_listened_to", f"retraining.on is {', '.join(spec.on)}, without {asked.trigger}")


def _blocked(spec: RetrainingSpec, state: State, now: datetime) -> Decision | None:
    """What stands against any retraining now."""
    if state.hold is not None:
        return Decision("held", f"by {state.hold.by} since {_told(state.hold.at)}: {state.hold.why}")
    if state.failures and state.last_end is not None:
        tired = state.failures >= spec.failures_in_a_row
        until = state.last_end + (spec.back_off if tired else spec.retry_after)
        if now < until:
            again = "; `fairlead retraining release` ends it" if tired else ""
            detail = (
                f"{state.failures} failed in a row, the last at {_told(state.last_end)}; until {_told(until)}{again}"
            )
            return Decision("backing_off" if tired else "cooling_down", detail, until)
    elif state.starts and now < state.starts[-1] + spec.cool_down:
        until = state.starts[-1] + spec.cool_down
        return Decision(
            "cooling_down", f"the last was started at {_told(state.starts[-1])}; until {_told(until)}", until
        )
    if runs_in_month(state, now) >= spec.max_runs_a_month:
        detail = f"{runs_in_month(state, now)} of {spec.max_runs_a_month} were started in {now:%B}"
        return Decision("budget", detail, _next_month(now))
    year = sum(start.year == now.year for start in state.starts)
    if spec.max_runs_a_year is not None and year >= spec.max_runs_a_year:
        detail = f"{year} of {spec.max_runs_a_year} were started in {now:%Y}"
        return Decision("budget", detail, _next_month(now.replace(month=12)))
    return None


def _labels(spec: RetrainingSpec, new_labels: int) -> Decision | None:
    if new_labels >= spec.min_new_labels:
        return None
    return Decision("few_labels", f"{new_labels:,} of {spec.min_new_labels:,} new labels")


def _answered(state: State, entry: Answered) -> State:
    state = replace(state, answers={**state.answers, entry.key: entry})
    if entry.started:
        # Whatever else asked for a retraining has got one, if it comes to a challenger.
        run, served = Run(entry.run, entry.at), tuple(key for key in state.open if state.asked[key].standing)
        return replace(state, running=run, starts=(*state.starts, entry.at), open=(), served=served, refused=None)
    asked = state.asked.get(entry.key)
    stands = asked is not None and asked.standing
    return replace(state, open=state.open if stands else _without(state.open, entry.key), refused=entry)


def _ended(before: State, entry: Ended) -> State:
    state = replace(before, running=None, last_end=entry.at, served=())
    again = state.open if entry.outcome == "accepted" else (*before.served, *state.open)
    if entry.outcome == "failed":
        return replace(state, failures=state.failures + 1, open=again)
    return replace(state, failures=0, last_success=entry.at, open=again)


def _without(keys: tuple[str, ...], key: str) -> tuple[str, ...]:
    return tuple(item for item in keys if item != key)


def _next_month(now: datetime) -> datetime:
    year, month = divmod(now.year * 12 + now.month, 12)
    return now.replace(year=year, month=month + 1, day=1, hour=0, minute=0, second=0, microsecond=0)


def _told(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
