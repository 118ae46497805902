"""A window against the reference: every column by its tests, corrected for their number, and a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from fairlead.drift._base import Column, ColumnTest, Evidence
from fairlead.drift.chi_square import chi_square
from fairlead.drift.correction import holm
from fairlead.drift.ks import ks
from fairlead.drift.missing import missing
from fairlead.drift.psi import psi
from fairlead.drift.sample import Sample, match, newest_of_each_entity
from fairlead.errors import DriftError

Kind = Literal["input", "feature", "prediction"]
"""What a caller sends; what is looked up (a pipeline may have broken it); what the model answers."""
Verdict = Literal["drift", "no drift", "not enough data"]
TESTS: Mapping[str, ColumnTest] = {"ks": ks, "psi": psi, "chi_square": chi_square, "missing": missing}
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
) -> Detection:
    """Compare a window with the reference.

    Args:
        reference: rows from when all was well.
        window: rows of now.
        kinds: column → what it is; all of them must be in both.
        rule: when a difference counts.
        timezone: of the clock by which hours of the week are matched.
        seed: of the draw from the reference.

    Raises:
        DriftError: the columns are not the same, or not of the same type.
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
    findings = _judged(_tests(pair.reference, pair.window, kinds), rule)
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


def _tests(
    reference: Sample, window: Sample, kinds: Mapping[str, Kind]
) -> list[tuple[str, Kind, str, Evidence | None]]:
    return [
        (column, kind, name, TESTS[name](reference.columns[column], window.columns[column]))
        for column, kind in kinds.items()
        for name in (OF_NUMBERS if reference.columns[column].dtype.kind == "f" else OF_CATEGORIES)
    ]


def _judged(tests: Sequence[tuple[str, Kind, str, Evidence | None]], rule: Rule) -> list[Finding]:
    adjusted = holm({f"{column} {name}": found.p_value for column, _, name, found in tests if found is not None})
    findings = []
    for column, kind, name, found in tests:
        p_value = adjusted.get(f"{column} {name}")
        counts = found is not None and p_value is not None and p_value < rule.level
        large = found is not None and abs(found.effect) >= rule.effects[name]
        findings.append(Finding(column, kind, name, found, p_value, counts and large))
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
