"""The gates that a trained model must pass before it may become a challenger."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan, nan
from typing import Protocol

from fairlead.evaluation.comparison import Comparison
from fairlead.evaluation.slices import SliceResult


class BoundLike(Protocol):
    """A smallest and a largest allowed value, both allowed themselves; one may be None."""

    @property
    def min(self) -> float | None: ...
    @property
    def max(self) -> float | None: ...


class ChampionGateLike(Protocol):
    """By how much a challenger may be worse, in the unit of the compared metric."""

    @property
    def margin(self) -> float: ...


class BaselineGateLike(Protocol):
    """By how much ROC AUC must be above that of the best baseline."""

    @property
    def margin(self) -> float: ...


class ParityGateLike(Protocol):
    """How far the exported model may be from the fitted one."""

    @property
    def max_abs(self) -> float: ...
    @property
    def max_flipped(self) -> int: ...


class SliceGateLike(Protocol):
    """Bounds for each value, with enough rows, of some columns."""

    @property
    def by(self) -> Sequence[str]: ...
    @property
    def min_rows(self) -> int: ...
    @property
    def metric_bounds(self) -> Mapping[str, BoundLike]: ...


class GatesLike(Protocol):
    """All gates of a model; None where there is no such gate."""

    @property
    def metric_bounds(self) -> Mapping[str, BoundLike]: ...
    @property
    def baseline(self) -> BaselineGateLike | None: ...
    @property
    def champion(self) -> ChampionGateLike | None: ...
    @property
    def parity(self) -> ParityGateLike | None: ...
    @property
    def latency_p99_ms(self) -> BoundLike | None: ...
    @property
    def slices(self) -> SliceGateLike | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was measured; None where it was not."""

    metrics: Mapping[str, float]
    comparison: Comparison | None
    """None: there is no champion yet. It has no default, so that a forgotten comparison does not pass for that."""
    baselines: Mapping[str, float] = field(default_factory=dict)
    """Name → ROC AUC on the same rows."""
    parity_max_abs: float | None = None
    parity_flipped: int | None = None
    latency_p99_ms: float | None = None
    slices: Sequence[SliceResult] = ()


@dataclass(frozen=True, slots=True)
class GateResult:
    """Whether one rule holds, and why."""

    name: str
    """The path of the rule in the model file: `roc_auc`, `parity.max_abs`, `slices.origin.roc_auc`."""
    passed: bool
    rule: str
    value: float | None
    """What the rule was applied to (of slices the worst); None where nothing was measured."""
    reason: str


def check_gates(gates: GatesLike, evidence: Evidence) -> list[GateResult]:
    """One result a rule, in the order metrics, baseline, champion, parity, latency, slices; the model passes if all do.

    A value that is missing or NaN fails its rule: what was not measured is not known to be good. Two things pass
    unjudged, and say so: the champion gate when there is no champion, and a slice gate when no slice has enough rows.

    The champion gate goes by the point estimate: the challenger passes if, on the same rows, it is no more than the
    margin worse. An undecided comparison therefore passes or fails by its sign. To demand proof ("not_worse") would
    refuse nearly every equal model of a small test week and leave the older one to age; to refuse only what is proven
    "worse" would let a series of models through, each a little worse than the last. The point estimate errs equally
    either way and adds up to no drift, and the rollout looks again. With a margin of 0 a model that is truly equal is
    refused half of the time; a margin of one standard error of the difference refuses it one time in six.

    Slices are judged by their point estimates too: the more of them, and the smaller, the more likely is one to fail by
    chance, so leave their bounds room below the overall one.

    Raises:
        ValueError: a bound has neither end, or the comparison was made for another margin than the gate's.
    """
    return list(_results(gates, evidence))


def _results(gates: GatesLike, evidence: Evidence) -> Iterator[GateResult]:
    for metric, bound in gates.metric_bounds.items():
        yield _within(metric, _rule(metric, bound.min, bound.max), evidence.metrics.get(metric), bound.min, bound.max)
    if gates.baseline is not None:
        yield _baseline(gates.baseline.margin, evidence.metrics.get("roc_auc"), evidence.baselines)
    if gates.champion is not None:
        yield _champion(gates.champion.margin, evidence.comparison)
    if gates.parity is not None:
        yield _at_most("parity.max_abs", "largest difference", evidence.parity_max_abs, gates.parity.max_abs)
        yield _at_most("parity.max_flipped", "flipped rows", evidence.parity_flipped, gates.parity.max_flipped)
    if gates.latency_p99_ms is not None:
        low, high = gates.latency_p99_ms.min, gates.latency_p99_ms.max
        rule = _rule("latency_p99_ms", low, high)
        yield _within("latency_p99_ms", rule, evidence.latency_p99_ms, low, high)
    if gates.slices is not None:
        for column in gates.slices.by:
            for metric, bound in gates.slices.metric_bounds.items():
                yield _slices(column, metric, bound, gates.slices.min_rows, evidence.slices)


def _rule(subject: str, low: float | None, high: float | None) -> str:
    if low is None and high is None:
        raise ValueError(f"the gate of {subject!r} must have `min` or `max`")
    if low is not None and high is not None:
        return f"{low:g} <= {subject} <= {high:g}"
    return f"{subject} >= {low:g}" if low is not None else f"{subject} <= {high:g}"


def _at_most(name: str, subject: str, value: float | None, limit: float) -> GateResult:
    return _within(name, _rule(subject, None, limit), value, None, limit)


def _within(name: str, rule: str, value: float | None, low: float | None, high: float | None) -> GateResult:
    shortfall = _shortfall(value, low, high)
    if value is None or isnan(value):
        reason = "was not measured" if value is None else "is undefined on these rows"
    elif shortfall > 0:
        reason = f"{value:.6g} is {shortfall:.3g} beyond the bound"
    else:
        reason = f"{value:.6g} is within the bound"
    return GateResult(name, shortfall <= 0, rule, value, reason)


def _shortfall(value: float | None, low: float | None, high: float | None) -> float:
    """By how much the value breaks the bound; 0 or less if it does not, NaN if there is none."""
    if value is None or isnan(value):
        return nan
    return max(low - value if low is not None else -float("inf"), value - high if high is not None else -float("inf"))


def _baseline(margin: float, auc: float | None, baselines: Mapping[str, float]) -> GateResult:
    rule = "roc_auc " + (f"{margin:g} above" if margin else "no worse than") + " the best baseline's"
    known = {name: value for name, value in baselines.items() if not isnan(value)}
    if auc is None or not known:
        return GateResult("baseline", False, rule, None, "was not measured")
    if isnan(auc):
        return GateResult("baseline", False, rule, auc, "is undefined on these rows")
    best = max(known, key=lambda name: known[name])
    gain = auc - known[best]
    reason = f"{auc:.4f} against {known[best]:.4f} of {best}: {abs(gain):.4f} {'worse' if gain < 0 else 'better'}"
    return GateResult("baseline", gain >= margin, rule, gain, reason)


def _champion(margin: float, comparison: Comparison | None) -> GateResult:
    tolerated = f"at most {margin:g} worse" if margin else "no worse"
    if comparison is None:
        return GateResult(
            "champion",
            True,
            f"{tolerated} than the champion",
            None,
            "no champion yet: there is nothing to be worse than",
        )
    if comparison.margin != margin:
        raise ValueError(f"the comparison's margin must be the gate's {margin:g}, but is {comparison.margin:g}")
    rule = f"{comparison.metric} {tolerated} than the champion's"
    difference = comparison.difference
    if isnan(difference):
        return GateResult("champion", False, rule, difference, f"{comparison.metric} is undefined on these rows")
    interval = comparison.interval
    reason = (
        f"{comparison.challenger:.4f} against {comparison.champion:.4f}: {abs(difference):.4f} "
        f"{'worse' if difference < 0 else 'better'} ({interval.level:.0%} interval of the gain "
        f"{interval.low:+.4f} to {interval.high:+.4f}: {comparison.verdict.replace('_', ' ')})"
    )
    return GateResult("champion", difference >= -margin, rule, difference, reason)


def _slices(column: str, metric: str, bound: BoundLike, min_rows: int, slices: Sequence[SliceResult]) -> GateResult:
    name = f"slices.{column}.{metric}"
    rule = f"{_rule(metric, bound.min, bound.max)} in every {column} of {min_rows} rows or more"
    measured = [one for one in slices if one.column == column]
    judged = [one for one in measured if one.rows >= min_rows]
    if not measured:
        return GateResult(name, False, rule, None, f"no slice by {column!r} was measured")
    if not judged:
        reason = f"nothing was judged: none of {len(measured)} slices has {min_rows} rows"
        return GateResult(name, True, rule, None, reason)
    results = {one.value: _within(name, rule, one.metrics.get(metric), bound.min, bound.max) for one in judged}
    failed = {value: result.reason for value, result in results.items() if not result.passed}
    worst = max(results.values(), key=lambda result: _badness(result.value, bound))
    if failed:
        reasons = "; ".join(f"{column}={value}: {reason}" for value, reason in failed.items())
        return GateResult(name, False, rule, worst.value, reasons)
    reason = f"the worst of {len(judged)} slices is {worst.value:.6g} ({len(measured) - len(judged)} had too few rows)"
    return GateResult(name, True, rule, worst.value, reason)


def _badness(value: float | None, bound: BoundLike) -> float:
    shortfall = _shortfall(value, bound.min, bound.max)
    return float("inf") if isnan(shortfall) else shortfall
