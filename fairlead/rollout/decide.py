"""From counts by window to one verdict, with the evidence for it. Pure: the same counts give the same verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import exp
from typing import Literal

import numpy as np

from fairlead.rollout.evidence import (
    LOG_ERRORS,
    LOG_HARD,
    LOG_LATENCY,
    LOG_PROMOTE,
    Arms,
    failing,
    latency_margin,
    log_hard,
    log_harm,
    log_harmless,
    log_harmless_errors,
)
from fairlead.rollout.ratio import Floats
from fairlead.rollout.reference import Reference
from fairlead.rollout.windows import Window, require_order
from fairlead.spec.model import RolloutSpec

Verdict = Literal["roll_back", "advance", "wait", "hold", "ask_person"]

ASKED = "a person approves or aborts; harm still rolls back"
SILENT_WINDOWS = 4
"""So many windows without a request for the candidate are told as a fault of its own."""


@dataclass(frozen=True, slots=True)
class Signal:
    """What the windows say about errors, or about latency."""

    name: Literal["errors", "slow answers"]
    stable: int
    stable_requests: int
    candidate: int
    candidate_requests: int
    dispersion: float
    margin: float
    """Ratio of the shares that would be harm."""
    log_harm: tuple[float, ...]
    """After each window behind the warm-up."""
    log_harmless: tuple[float, ...]
    log_roll_back: float
    """Harm is decided at this value."""
    log_advance: float
    """And this much is needed for the next step."""

    @property
    def harm(self) -> float:
        """The largest so far: a crossing counts whether or not somebody looked."""
        return max(self.log_harm, default=0.0)

    @property
    def harmless(self) -> float:
        """As it is now: a candidate that gets worse loses what it had."""
        return self.log_harmless[-1] if self.log_harmless else 0.0

    def __str__(self) -> str:
        return (
            f"{self.name}: {_share(self.candidate, self.candidate_requests)} of the candidate, "
            f"{_share(self.stable, self.stable_requests)} of stable; e = {_e(self.harm)} for harm (rolls back at "
            f"{_e(self.log_roll_back)}), {_e(self.harmless)} for less than {self.margin:.3g} times stable's share "
            f"(goes on at {_e(self.log_advance)}); dispersion {self.dispersion:.2f}"
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and all that led to it."""

    verdict: Verdict
    reason: str
    """One sentence for a person."""
    next: str
    """What would have to happen for another verdict."""
    signals: tuple[Signal, ...]
    log_hard: float
    windows: int
    windows_aside: int
    elapsed_minutes: float

    def __str__(self) -> str:
        """As the body of a commit message."""
        hard = f"hard stop: e = {_e(self.log_hard)} (rolls back at {_e(LOG_HARD)})"
        seen = f"seen: {self.windows} windows in {self.elapsed_minutes:.1f} minutes, {self.windows_aside} set aside"
        return "\n".join([self.reason, "", *map(str, self.signals), hard, seen, f"next: {self.next}"])


def decide(
    windows: Sequence[Window],
    reference: Reference,
    spec: RolloutSpec,
    *,
    since: datetime,
    now: datetime,
    progress: float = 1.0,
    min_minutes: float | None = None,
) -> Decision:
    """Judge a candidate by all windows since it first got traffic (or copies of it, in the shadow).

    The rules in order; the first that holds gives the verdict:

    1. `hold`: the clock is before `since`; or stable fails itself in the last window: the fault is upstream's.
    2. `roll_back`: the hard stop, from the first window on; behind the warm-up harm by errors or by latency.
    3. `ask_person`: the deadline has passed and nothing else is decided.
    4. `hold`: too little is known of stable's hour before, or there are no windows or no requests for the candidate.
    5. `advance`: no harm, by each signal, after the smallest time and number of requests.
    6. `wait`.

    Args:
        windows: in order, without overlaps; those that begin before `since` are not read. Windows may be missing.
        reference: stable in the hour before `since`, the same at every look.
        spec: margins, times and numbers.
        since: when the candidate first got traffic. Steps do not reset it: the evidence of a rollout is one.
        now: compared with the deadline.
        progress: of the steps, within [0, 1]. At 1 the whole of the evidence, time and requests is asked for, at 0.5
            half of each (of the evidence, of its logarithm), at 0 none.
        min_minutes: in place of `progress` times the spec's.

    Raises:
        RolloutError: windows overlap or are not in order.
    """
    require_order(windows)
    used = [window for window in windows if since <= window.start and window.end <= now]
    elapsed = (now - since).total_seconds() / 60
    begin = since + timedelta(seconds=spec.warm_up_seconds)
    warm = sum(window.start < begin for window in used)
    errors = _arms(used, "errors", reference)
    signals = [_errors(errors.since(warm), reference, spec, progress)]
    if spec.latency is not None and reference.slow is not None:
        signals.append(_latency(_arms(used, "slow", reference).since(warm), reference, progress))
    usual = max(reference.error_share, spec.errors.floor)
    hard = float(np.max(log_hard(errors, reference.error_dispersion, usual), initial=0.0))
    needed = progress * spec.min_minutes if min_minutes is None else min_minutes
    verdict, reason = _verdict(used, errors, signals, hard, reference, spec, elapsed, needed, progress)
    return Decision(
        verdict=verdict,
        reason=reason,
        next=_next(verdict, signals, spec, since, needed, progress),
        signals=tuple(signals),
        log_hard=hard,
        windows=len(used),
        windows_aside=int(errors.aside.sum()),
        elapsed_minutes=elapsed,
    )


def _verdict(
    used: list[Window],
    errors: Arms,
    signals: list[Signal],
    hard: float,
    reference: Reference,
    spec: RolloutSpec,
    elapsed: float,
    needed: float,
    progress: float,
) -> tuple[Verdict, str]:
    if elapsed < 0:
        return "hold", "The clock is before the candidate's first traffic; nothing is decided until it is right."
    late = elapsed >= spec.deadline_minutes
    if used and errors.aside[-1]:
        counts = used[-1].stable
        failed = _share(counts.errors, counts.requests)
        said = f"Stable fails itself, {failed} in the last window, so the fault is upstream"
        return ("ask_person", said + " and the deadline has passed.") if late else ("hold", said + ".")
    if hard >= LOG_HARD:
        return "roll_back", "The candidate makes many times stable's errors, more than a cold start explains."
    for signal in signals:
        if reference.enough and signal.harm >= signal.log_roll_back:
            return "roll_back", f"The candidate has more {signal.name} than stable."
    gap = _gap(used, reference, spec)
    if gap is None and _harmless(used, signals, spec, elapsed, needed, progress):
        return "advance", "The candidate does no harm that the margins do not allow."
    if late:
        return "ask_person", f"Undecided after {spec.deadline_minutes:g} minutes." + (f" {gap}" if gap else "")
    if gap is not None:
        return "hold", gap
    return "wait", "Neither harm nor its absence has been shown."


def _gap(used: list[Window], reference: Reference, spec: RolloutSpec) -> str | None:
    if not reference.enough:
        return f"Stable had traffic in only {reference.windows} windows of the hour before: too few to know its usual."
    if spec.latency is not None and reference.slow is None:
        return "Stable's latency in the hour before is not known."
    if not used:
        return "There are no counts."
    if not any(window.candidate.requests for window in used[-SILENT_WINDOWS:]):
        return "The candidate gets no requests."
    return None


def _harmless(
    used: list[Window], signals: list[Signal], spec: RolloutSpec, elapsed: float, needed: float, progress: float
) -> bool:
    requests = sum(window.candidate.requests for window in used)
    enough = elapsed >= needed and requests >= max(1.0, progress * spec.min_requests)
    return enough and all(signal.harmless >= signal.log_advance for signal in signals)


def _next(
    verdict: Verdict, signals: list[Signal], spec: RolloutSpec, since: datetime, needed: float, progress: float
) -> str:
    if verdict in ("roll_back", "advance"):
        return "all requests go to stable" if verdict == "roll_back" else "the next step"
    if verdict == "ask_person":
        return ASKED
    deadline = (since + timedelta(minutes=spec.deadline_minutes)).isoformat(timespec="seconds")
    missing = [f"{_e(signal.log_advance)} for no harm by {signal.name}" for signal in signals]
    return (
        f"goes on at e = {' and '.join(missing)}, not before {needed:g} minutes and "
        f"{max(1, round(progress * spec.min_requests))} requests; a person is asked at {deadline}"
    )


def _arms(used: list[Window], events: Literal["errors", "slow"], reference: Reference) -> Arms:
    stable = _column([window.stable.requests for window in used])
    failed = failing(stable, _column([window.stable.errors for window in used]), reference.error_share)
    return Arms(
        stable=stable,
        stable_events=_column([getattr(window.stable, events) for window in used]),
        candidate=_column([window.candidate.requests for window in used]),
        candidate_events=_column([getattr(window.candidate, events) for window in used]),
        aside=failed,
    )


def _errors(arms: Arms, reference: Reference, spec: RolloutSpec, progress: float) -> Signal:
    phi = reference.error_dispersion
    harmless = log_harmless_errors(arms, phi, spec, reference.error_share)
    return _signal("errors", arms, phi, spec.errors.margin, harmless, LOG_ERRORS, progress)


def _latency(arms: Arms, reference: Reference, progress: float) -> Signal:
    phi, margin = reference.slow_dispersion, latency_margin(reference)
    harmless = log_harmless(arms, phi, margin=margin, usual=reference.slow_share)
    return _signal("slow answers", arms, phi, margin, harmless, LOG_LATENCY, progress)


def _signal(
    name: Literal["errors", "slow answers"],
    arms: Arms,
    phi: float,
    margin: float,
    harmless: Floats,
    log_roll_back: float,
    progress: float,
) -> Signal:
    return Signal(
        name=name,
        stable=int(arms.stable_events.sum()),
        stable_requests=int(arms.stable.sum()),
        candidate=int(arms.candidate_events.sum()),
        candidate_requests=int(arms.candidate.sum()),
        dispersion=phi,
        margin=margin,
        log_harm=tuple(log_harm(arms, phi).tolist()),
        log_harmless=tuple(harmless.tolist()),
        log_roll_back=log_roll_back,
        log_advance=progress * LOG_PROMOTE if progress > 0 else float("-inf"),
    )


def _column(values: list[int]) -> Floats:
    return np.array(values, dtype=np.float64)


def _share(events: int, requests: int) -> str:
    return f"{events} of {requests} ({events / requests:.2%})" if requests else "0 of 0"


def _e(log_value: float) -> str:
    return f"{exp(min(log_value, 700)):.3g}"
