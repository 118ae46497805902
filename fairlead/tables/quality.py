"""The quality gate: which rules a table must obey, and what is said when it does not.

Rules are plain values. An adapter checks them and answers with a `QualityReport`.
"""

import logging
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from fairlead import metrics
from fairlead.errors import QualityError
from fairlead.monitors.results import QUALITY, Figures, Result, of_dataset, succeeded
from fairlead.spec.dataset import DatasetSpec, Expectation, Severity, TableSpec

Kind = Literal[
    "columns", "type", "not_empty", "some_value",  # of every table
    "not_null", "unique",  # of every key, and declared
    "between", "one_of", "references", "matches", "rows", "fresh_within", "expect",  # declared
]  # fmt: skip
Scalar = str | int | float | bool | None

EXAMPLES = 3
"""Rows shown of those that break a rule."""

_VERBS = {"not_null": ("is", "are"), "matches": ("does not", "do not"), "expect": ("breaks it", "break it")}


log = logging.getLogger(__name__)


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Rule(_Value):
    """One thing that must be true of a table."""

    table: str
    columns: tuple[str, ...] = ()
    """The columns it is about; none: the table as a whole."""
    kind: Kind
    text: str
    """The rule as a clause with "must" in it, without the table's name."""
    severity: Severity = "critical"
    mostly: float = 1.0
    """The share of rows that must obey; null values count only for `not_null`."""
    arguments: dict[str, Any] = {}
    """What the kind needs to know, as JSON."""


class RuleResult(_Value):
    """What came of one rule."""

    rule: Rule
    passed: bool
    rows: int
    """Rows of the table."""
    unexpected: int | None = None
    """Rows that break the rule, also when few enough to pass; None: the rule is not about single rows."""
    share: float | None = None
    """`unexpected` over the rows judged: all of them for `not_null`, those with a value for other kinds."""
    observed: str | None = None
    """What was found, such as `max=9999` or `has 12 rows`."""
    examples: tuple[dict[str, Scalar], ...] = Field(default=(), max_length=EXAMPLES)
    """Rows that break the rule: their primary key and the columns of the rule."""
    error: str | None = None
    """Why the rule could not be checked; such a rule has not passed."""

    @property
    def message(self) -> str:
        """The rule, and what is wrong with how much of which data."""
        rule = f"{self.rule.table}: {self.rule.text}"
        if self.error is not None:
            return f"{rule}, but this could not be checked: {self.error}"
        if self.passed:
            return rule
        if self.unexpected is None:
            return f"{rule}, but {self.observed or 'this is not so'}"
        return f"{rule}, but {self._how_many()}{self._such_as()}"

    def _how_many(self) -> str:
        share = f" ({self.share:.2%})" if self.rule.mostly < 1 and self.share is not None else ""
        one, many = _VERBS.get(self.rule.kind, ("is not", "are not"))
        observed = f" ({self.observed})" if self.observed else ""
        return f"{self.unexpected} of {self.rows} rows{share} {one if self.unexpected == 1 else many}{observed}"

    def _such_as(self) -> str:
        rows = [" ".join(f"{name}={_shown(value)}" for name, value in row.items()) for row in self.examples]
        return f", e.g. {'; '.join(rows)}" if rows else ""


class QualityReport(_Value):
    """What came of all rules of a dataset, in the order in which they are declared."""

    dataset: str
    as_of: datetime
    results: tuple[RuleResult, ...]

    def failures(self, severity: Severity | None = None) -> list[RuleResult]:
        """The rules that did not pass; None: of any severity."""
        return [r for r in self.results if not r.passed and severity in (None, r.rule.severity)]


def refuse_if_critical(report: QualityReport) -> None:
    """Let only data pass that obeys every critical rule.

    Raises:
        QualityError: one line for each critical rule that failed.
    """
    failures = report.failures("critical")
    if failures:
        raise QualityError("\n".join(result.message for result in failures))


def gate_result(report: QualityReport) -> Result:
    """As figures for those who watch: a gate that closes leaves no table, and would say nothing else."""
    figures = Figures(dataset=report.dataset)
    for severity in get_args(Severity):
        figures.set(metrics.UPSTREAM_BREACHES, len(report.failures(severity)), severity=severity)
    return succeeded(of_dataset(report.dataset), QUALITY, figures)


def log_passed(report: QualityReport) -> None:
    """Say how many rules passed."""
    warnings = len(report.failures("warning"))
    log.info("%d rules passed, %d warnings", len(report.results) - len(report.failures()), warnings)


def rules_for(table: str, dataset: DatasetSpec, *, as_of: datetime) -> list[Rule]:
    """The rules that every table must obey, then those declared for this one.

    Args:
        as_of: The time of the run, with a time zone; freshness is measured from it.

    Raises:
        ValueError: `as_of` has no time zone.
    """
    if as_of.tzinfo is None:
        raise ValueError(f"as_of must have a time zone, but is {as_of.isoformat()}")
    spec = dataset.tables[table]
    return [*_always(table, spec), *(_declared(table, declared, as_of) for declared in spec.expectations)]


def _always(table: str, spec: TableSpec) -> list[Rule]:
    """Without these nothing else said about the table means anything: all are critical."""
    columns, key = spec.all_columns, spec.primary_key
    never_null = {name: f"primary key column {name!r}" for name in key}
    if spec.event_time:
        never_null.setdefault(spec.event_time, f"event time {spec.event_time!r}")
    exactly = f"must have exactly the columns {', '.join(columns)}, in this order"
    rules = [
        _rule(table, "columns", exactly, columns=list(columns)),
        _rule(table, "not_empty", "must have at least 1 row"),
    ]
    rules += [_rule(table, "type", f"column {c!r} must be of type {kind}", c, type=kind) for c, kind in columns.items()]
    rules += [_rule(table, "not_null", f"{title} must not be null", name) for name, title in never_null.items()]
    rules += [_rule(table, "unique", f"primary key {', '.join(key)} must be unique", *key)]
    rules += [
        _rule(table, "some_value", f"column {name!r} must hold a value in some row", name)
        for name in spec.columns
        if name not in never_null
    ]
    return rules


def _rule(table: str, kind: Kind, text: str, *about: str, **arguments: Any) -> Rule:
    return Rule(table=table, kind=kind, text=text, columns=about, arguments=arguments)


def _declared(table: str, declared: Expectation, as_of: datetime) -> Rule:
    must, arguments = _clause(declared, as_of)
    columns = tuple(declared.columns or ([declared.column] if declared.column else []))
    subject = "" if declared.rule == "rows" else _subject(columns)
    mostly = f" in at least {_number(100 * declared.mostly)}% of rows" if declared.mostly < 1 else ""
    return Rule(
        table=table,
        columns=columns or tuple(_columns_named_in(declared.arguments)),
        kind=declared.rule,
        text=f"{subject}{must}{mostly}",
        severity=declared.severity,
        mostly=declared.mostly,
        arguments=arguments,
    )


def _clause(declared: Expectation, as_of: datetime) -> tuple[str, dict[str, Any]]:
    """What must be, in words and as arguments."""
    match declared.rule:
        case "between":
            low, high = (_finite(limit) for limit in declared.between or ())
            return f"must be {_within(low, high)}", {"min": low, "max": high}
        case "one_of":
            return f"must be one of {', '.join(map(str, declared.one_of or []))}", {"values": declared.one_of}
        case "references":
            return f"must be in {declared.references}", {"references": declared.references}
        case "matches":
            return f"must match {declared.matches!r}", {"pattern": declared.matches}
        case "not_null":
            return "must not be null", {}
        case "unique":
            return "must be unique", {}
        case "rows":
            fewest, most = declared.rows or (0, 0)
            return f"must have {fewest} to {most} rows", {"min": fewest, "max": most}
        case "fresh_within":
            within = declared.model_dump()["fresh_within"]
            oldest = _instant(as_of - declared.fresh_within if declared.fresh_within else as_of)
            return f"must reach {oldest} (at most {within} old)", {"within": within, "not_before": oldest}
        case _:
            given = ", ".join(f"{name}={value!r}" for name, value in declared.arguments.items())
            return f"must obey {declared.expect}({given})", {"name": declared.expect, "arguments": declared.arguments}


def _columns_named_in(arguments: dict[str, Any]) -> list[str]:
    named = [arguments[key] for key in ("column", "column_A", "column_B") if isinstance(arguments.get(key), str)]
    return [*named, *arguments.get("column_list", [])]


def _subject(columns: tuple[str, ...]) -> str:
    if not columns:
        return ""
    return f"column {columns[0]!r} " if len(columns) == 1 else f"columns {', '.join(columns)} together "


def _within(low: float | None, high: float | None) -> str:
    if low is None:
        return f"at most {_number(high or 0)}"
    return f"at least {_number(low)}" if high is None else f"within [{_number(low)}, {_number(high)}]"


def _finite(limit: float) -> float | None:
    """JSON knows no infinity: an open side is None."""
    return limit if isfinite(limit) else None


def _number(value: float) -> str:
    """Without a useless fraction, and never as a power of ten."""
    return str(int(value)) if float(value).is_integer() else str(round(value, 10))


def _instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _shown(value: Scalar) -> str:
    return "null" if value is None else str(value)
