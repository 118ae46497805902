"""The figures of a retraining log, for what is scraped."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import get_args

from fairlead import metrics as catalogue
from fairlead.metrics import Metric
from fairlead.retraining.brakes import Phase, State, phase, runs_in_month
from fairlead.retraining.entries import Answered, Entry, Reason
from fairlead.spec.retraining import RetrainingSpec, Trigger

Figure = tuple[Metric, Mapping[str, str], float]
STARTS: frozenset[Reason] = frozenset({"free", "overridden"})


def figures(model: str, spec: RetrainingSpec, state: State, entries: Iterable[Entry], now: datetime) -> list[Figure]:
    """Every metric of `fairlead.metrics.RETRAINING` that is known."""
    one = {"model": model}
    found: list[Figure] = [
        (catalogue.RETRAINING_RUNS_IN_MONTH, one, runs_in_month(state, now)),
        (catalogue.RETRAINING_BUDGET, one, spec.max_runs_a_month),
        (catalogue.RETRAINING_FAILURES, one, state.failures),
        (catalogue.RETRAINING_LAST_RUN, one, now.timestamp()),
    ]
    if state.starts:
        found.append((catalogue.RETRAINING_LAST_START, one, state.starts[-1].timestamp()))
    if state.last_success is not None:
        found.append((catalogue.RETRAINING_LAST_SUCCESS, one, state.last_success.timestamp()))
    holds = phase(spec, state, now)
    found += [(catalogue.RETRAINING_STATE, {**one, "state": name}, float(name == holds)) for name in get_args(Phase)]
    blocked = state.refused.reason if state.refused else None
    reasons = [name for name in get_args(Reason) if name not in STARTS]
    found += [(catalogue.RETRAINING_BLOCKED, {**one, "reason": name}, float(name == blocked)) for name in reasons]
    return found + _requests(one, entries)


def _requests(one: Mapping[str, str], entries: Iterable[Entry]) -> list[Figure]:
    """Each answer there can be, from 0 on: a counter that begins with its first 1 has no increase to be seen."""
    given = Counter(
        (entry.trigger, "started" if entry.started else "refused") for entry in entries if isinstance(entry, Answered)
    )
    return [
        (catalogue.RETRAINING_REQUESTS, {**one, "trigger": trigger, "answer": answer}, given[trigger, answer])
        for trigger in get_args(Trigger)
        for answer in ("started", "refused")
    ]
