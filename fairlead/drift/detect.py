"""A window against the reference: every column by its tests, corrected for their number, and a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from fairlead.drift._base import Column, Evidence
from fairlead.drift.correction import holm
from fairlead.drift.engine import Columns, Compared, Engine, OwnEngine
from fairlead.drift.sample import Sample, match, newest_of_each_entity
from fairlead.drift.usual import Floors
from fairlead.errors import DriftError

Kind = Literal["input", "feature", "prediction"]
"""What a caller sends; what is looked up (a pipeline may have broken it); what the model answers."""
Verdict = Literal["drift", "no drift", "not enough data"]
OF_NUMBERS, OF_CATEGORIES = ("ks", "missing"), ("chi_square", "missing")
DEFAULT_EFFECTS: Mapping[str, float] = {"ks": 0.1, "psi": 0.1, "chi_square": 0.1, "missing": 0.05}


@dataclass(frozen=True)
class Rule:
    """When a difference counts."""

    level: float = 0.05
    """Chance that a window without a change counts as drift, over all columns together."""
    effects: Mapping[str, float] = field(default_factory=lambda: DEFAULT_EFFECTS)
    """Test → the smallest effect that matters: with many rows every difference is significant."""
    least_rows: int = 200
    """Of a window, after one row an entity; fewer are no basis for "no drift"."""
    most_unmatched: float = 0.2
    """Share of rows at hours that the reference does not know; above it the two cannot be compared."""
    numbers: Sequence[str] = OF_NUMBERS
    """Tests of a column of numbers."""
    categories: Sequence[str] = OF_CATEGORIES
    usual: Floors = field(default_factory=dict)
    """Effects that single windows of the reference show too, by column and test: they must be exceeded."""


@dataclass(frozen=True)
class Finding:
    """One test of one column."""

    column: str
    kind: Kind
    test: str
    evidence: Evidence | None
    """None: too few values."""
    p_adjusted: float | None
    drifted: bool


@dataclass(frozen=True)
class Detection:
    """What a window shows."""

    verdict: Verdict
    reason: str
    rows: int
    reference_rows: int
    findings: Sequence[Finding] = ()

    @property
    def drifted(self) -> list[Finding]:
        """Those that count, the strongest first."""
        found = [item for item in self.findings if item.drifted]
        return sorted(found, key=lambda item: item.p_adjusted or 0.0)


def detect(
    reference: Sample,
    window: Sample,
    kinds: Mapping[str, Kind],
    rule: Rule,
    timezone: str,
    seed: int = 0,
    engine: Engine | None = None,
) -> Detection:
    """Compare a window with the reference.

    Args:
        reference: rows from when all was well.
        window: rows of now.
        kinds: column → what it is; all of them must be in both.
        rule: when a difference counts.
        timezone: of the clock by which hours of the week are matched.
        seed: of the draw from the reference.
        engine: what compares; None: our own tests.

    Raises:
        DriftError: the columns are not the same, or not of the same type; or the engine failed.
    """
    _require_same_columns(reference, window, kinds)
    single = newest_of_each_entity(window)
    pair = match(newest_per_week(reference), single, timezone, seed)
    sizes = len(pair.window), len(pair.reference)
    if len(single) < rule.least_rows:
        return Detection("not enough data", f"{len(single)} of the {rule.least_rows} rows needed", *sizes)
    if pair.unmatched > rule.most_unmatched:
        told = f"{pair.unmatched:.0%} of the rows are at hours of the week that the reference hardly has"
        return Detection("not enough data", told, *sizes)
    tests = tests_of(pair.reference, list(kinds), rule)
    found = (engine or OwnEngine()).compare(Columns(pair.reference.columns, pair.window.columns), tests)
    if not any(item.evidence for item in found):
        return Detection("not enough data", "no column has values enough for a test", *sizes)
    findings = _judged(found, kinds, rule)
    drifted = sorted({item.column for item in findings if item.drifted})
    reason = ", ".join(drifted) if drifted else f"{len(findings)} tests of {len(kinds)} columns"
    return Detection("drift" if drifted else "no drift", reason, *sizes, findings)


def newest_per_week(reference: Sample) -> Sample:
    """One row an entity and week: a reference spans many windows, in each of which an entity may come once."""
    weeks = reference.at.astype("datetime64[W]").astype(np.int64)
    keys = np.empty(len(reference), dtype=object)
    keys[:] = list(zip(reference.entities.tolist(), weeks.tolist(), strict=True))
    single = newest_of_each_entity(Sample(reference.at, keys, {"row": np.arange(len(reference), dtype=np.float64)}))
    return reference.take(single.columns["row"].astype(np.int64))


def alarm(verdicts: Sequence[Verdict], breaches: int, windows: int) -> bool:
    """Whether so many of the last windows that could be judged show drift.

    A single window at 5% would be wrong every day: 5-minute windows make 95 alarms a week, three of the last five 1.3.
    Windows without enough data are passed over; that there are too many of them is for the alert on staleness.
    """
    judged = [verdict for verdict in verdicts if verdict != "not enough data"][-windows:]
    return judged.count("drift") >= breaches


def tests_of(sample: Sample, columns: Sequence[str], rule: Rule) -> dict[str, Sequence[str]]:
    """Column → its tests, by its type."""
    return {name: rule.numbers if sample.columns[name].dtype.kind == "f" else rule.categories for name in columns}


def _judged(tests: Sequence[Compared], kinds: Mapping[str, Kind], rule: Rule) -> list[Finding]:
    adjusted = holm({f"{column} {name}": found.p_value for column, name, found in tests if found is not None})
    findings = []
    for column, name, found in tests:
        p_value = adjusted.get(f"{column} {name}")
        counts = found is not None and p_value is not None and p_value < rule.level
        floor = max(rule.effects[name], rule.usual.get((column, name), 0.0))
        large = found is not None and abs(found.effect) >= floor
        findings.append(Finding(column, kinds[column], name, found, p_value, counts and large))
    return findings


def _require_same_columns(reference: Sample, window: Sample, kinds: Mapping[str, Kind]) -> None:
    for column in kinds:
        for where, sample in (("reference", reference), ("window", window)):
            if column not in sample.columns:
                raise DriftError(f"the {where} must have the column {column!r}, but has {sorted(sample.columns)}")
        old, new = reference.columns[column], window.columns[column]
        if _form(old) != _form(new):
            raise DriftError(f"column {column!r} must be {_form(old)} as in the reference, but is {_form(new)}")


def _form(values: Column) -> str:
    return "numbers" if values.dtype.kind == "f" else "categories"
