"""A query at an instant, as Prometheus evaluates it, on what was recorded.

Source of the arithmetic: Prometheus' documentation of its functions, and for the ends of a window `extrapolatedRate` of
its promql/functions.go. A test asks a real Prometheus the same.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

from fairlead.panels.query import Aggregation, Call, Node, Number, Operation, Selector, Time
from fairlead.panels.recording import STALE_AFTER, Labels, Recording, Series

Vector: TypeAlias = dict[Labels, float]
EXTRAPOLATED = 1.1
"""Up to so many usual gaps, the first and last sample of a window stand for its ends."""


def evaluate(node: Node, recording: Recording, at: float) -> Vector:
    """Labels → value; a constant is the value of no labels. NaN, as of nothing by nothing, is left out."""
    found = _value(node, recording, at)
    whole = found if isinstance(found, dict) else {frozenset(): found}
    return {labels: value for labels, value in whole.items() if not math.isnan(value)}


def _value(node: Node, recording: Recording, at: float) -> Vector | float:
    match node:
        case Number():
            return node.value
        case Time():
            return at
        case Selector():
            return _newest(node, recording, at)
        case Call(function="histogram_quantile", arguments=(Number(share), of)):
            return _quantiles(share, _vector(of, recording, at))
        case Call(function=function, arguments=(Selector() as of,)):
            return _changes(of, recording, at, a_second=function == "rate")
        case Aggregation():
            return _aggregated(node, _vector(node.of, recording, at))
        case Operation():
            return _operated(node.sign, _value(node.left, recording, at), _value(node.right, recording, at))
    raise AssertionError(f"not from the parser: {node}")


def _vector(node: Node, recording: Recording, at: float) -> Vector:
    return _series_of(_value(node, recording, at))


def _series_of(found: Vector | float) -> Vector:
    assert isinstance(found, dict), "aggregations, functions and `or` take series"
    return found


def _series(selector: Selector, recording: Recording) -> list[tuple[Labels, Series]]:
    return [
        (labels, series)
        for labels, series in recording.series.get(selector.name, {}).items()
        if all(matcher.fits(series.labels.get(matcher.label, "")) for matcher in selector.matchers)
    ]


def _newest(selector: Selector, recording: Recording, at: float) -> Vector:
    within = STALE_AFTER * recording.interval
    found = {labels: series.newest(at, within) for labels, series in _series(selector, recording)}
    return {labels: value for labels, value in found.items() if value is not None}


def _changes(selector: Selector, recording: Recording, at: float, *, a_second: bool) -> Vector:
    """`rate` and `increase` of counters."""
    assert selector.window is not None, "a rate is of a window"
    seconds = selector.window.total_seconds()
    found: Vector = {}
    for labels, series in _series(selector, recording):
        times, values = series.window(at, seconds)
        if len(times) > 1:
            found[labels] = _increase(times, values, at - seconds, at) / (seconds if a_second else 1)
    return found


def _increase(times: Sequence[float], values: Sequence[float], start: float, end: float) -> float:
    """Over a whole window: resets are added, and the ends are extrapolated, but not below zero."""
    resets = sum(before for before, after in pairwise(values) if after < before)
    increase = values[-1] - values[0] + resets
    sampled = times[-1] - times[0]
    gap = sampled / (len(times) - 1)
    to_start, to_end = times[0] - start, end - times[-1]
    to_start = to_start if to_start < EXTRAPOLATED * gap else gap / 2
    if increase > 0 and values[0] >= 0:
        to_start = min(to_start, sampled * values[0] / increase)
    to_end = to_end if to_end < EXTRAPOLATED * gap else gap / 2
    return increase * (sampled + to_start + to_end) / sampled


def _aggregated(node: Aggregation, of: Vector) -> Vector:
    if node.kind in ("topk", "bottomk"):
        ordered = sorted(of, key=lambda labels: of[labels], reverse=node.kind == "topk")
        return {labels: of[labels] for labels in ordered[: node.count]}
    groups: dict[Labels, list[float]] = {}
    for labels, value in of.items():
        groups.setdefault(frozenset(item for item in labels if item[0] in node.by), []).append(value)
    reduce: Mapping[str, Callable[[list[float]], float]] = {"sum": math.fsum, "max": max, "min": min}
    return {labels: reduce[node.kind](values) for labels, values in groups.items()}


def _operated(sign: str, left: Vector | float, right: Vector | float) -> Vector | float:
    if sign == "or":
        return {**_series_of(right), **_series_of(left)}
    if sign == ">":
        assert not isinstance(right, dict), "a comparison is with a number"
        return {labels: value for labels, value in _series_of(left).items() if value > right}
    if isinstance(left, dict):
        if isinstance(right, dict):
            both = left.keys() & right.keys()
            return {labels: _calculated(sign, left[labels], right[labels]) for labels in both}
        return {labels: _calculated(sign, value, right) for labels, value in left.items()}
    if isinstance(right, dict):
        return {labels: _calculated(sign, left, value) for labels, value in right.items()}
    return _calculated(sign, left, right)


def _calculated(sign: str, left: float, right: float) -> float:
    if sign == "/":
        return left / right if right else math.nan if not left else math.copysign(math.inf, left)
    return {"+": left + right, "-": left - right, "*": left * right}[sign]


def _quantiles(share: float, buckets: Vector) -> Vector:
    groups: dict[Labels, list[tuple[float, float]]] = {}
    for labels, value in buckets.items():
        bound = float(dict(labels)["le"])
        groups.setdefault(frozenset(item for item in labels if item[0] != "le"), []).append((bound, value))
    return {labels: _quantile(share, sorted(found)) for labels, found in groups.items()}


def _quantile(share: float, buckets: Sequence[tuple[float, float]]) -> float:
    """Of cumulated buckets, by bound; within a bucket values are taken as spread evenly."""
    total = buckets[-1][1]
    if not total or not math.isinf(buckets[-1][0]):
        return math.nan
    rank, lower, below = share * total, 0.0, 0.0
    for bound, value in buckets:
        if value >= rank:
            if math.isinf(bound):
                return lower
            return lower + (bound - lower) * (rank - below) / (value - below) if value > below else bound
        lower, below = bound, value
    raise AssertionError("the last bucket holds all")
