"""The figures of a retraining log, for what is scraped."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import get_args

from fairlead import metrics as catalogue
from fairlead.monitors.results import Figures
from fairlead.retraining.brakes import Phase, State, phase, runs_in_month
from fairlead.retraining.entries import Answered, Entry, Reason
from fairlead.spec.retraining import RetrainingSpec, Trigger

STARTS: frozenset[Reason] = frozenset({"free", "overridden"})


def figures(model: str, spec: RetrainingSpec, state: State, entries: Iterable[Entry], now: datetime) -> Figures:
    """Every metric of `fairlead.metrics.RETRAINING` that is known."""
    told = Figures(model=model)
    told.set(catalogue.RETRAINING_RUNS_IN_MONTH, runs_in_month(state, now))
    told.set(catalogue.RETRAINING_BUDGET, spec.max_runs_a_month)
    told.set(catalogue.RETRAINING_FAILURES, state.failures)
    told.set(catalogue.RETRAINING_LAST_RUN, now.timestamp())
    if state.starts:
        told.set(catalogue.RETRAINING_LAST_START, state.starts[-1].timestamp())
    if state.last_success is not None:
        told.set(catalogue.RETRAINING_LAST_SUCCESS, state.last_success.timestamp())
    holds = phase(spec, state, now)
    for name in get_args(Phase):
        told.set(catalogue.RETRAINING_STATE, float(name == holds), state=name)
    blocked = state.refused.reason if state.refused else None
    for reason in get_args(Reason):
        if reason not in STARTS:
            told.set(catalogue.RETRAINING_BLOCKED, float(reason == blocked), reason=reason)
    _add_requests(told, entries)
    return told


def _add_requests(told: Figures, entries: Iterable[Entry]) -> None:
    """Each answer there can be, from 0 on: a counter that begins with its first 1 has no increase to be seen."""
    given = Counter(
        (entry.trigger, "started" if entry.started else "refused") for entry in entries if isinstance(entry, Answered)
    )
    for trigger in get_args(Trigger):
        for answer in ("started", "refused"):
            told.set(catalogue.RETRAINING_REQUESTS, given[trigger, answer], trigger=trigger, answer=answer)
