"""What a user declares about data: `feature_repo/<dataset>/dataset.yaml`."""

from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator

from fairlead.spec._base import Duration, Identifier, Spec

ColumnType = Literal["bool", "int64", "float64", "string", "timestamp"]
"""`timestamp` is an instant: UTC, microseconds."""

Severity = Literal["critical", "warning"]

Personal = Literal["drop", "pseudonymise", "keep"]
"""What a record of a prediction holds of a personal column: nothing, a keyed hash, or the value."""


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of zones, such as America
        raise ValueError(f"must be an IANA time zone such as America/New_York, but is {name!r}") from None
    return name


def _has_scheme(uri: str) -> str:
    if not urlsplit(uri).scheme:
        raise ValueError(f"must start with a scheme such as package:// or file://, but is {uri!r}")
    return uri


class SourceSpec(Spec):
    """Where a table comes from."""

    uri: Annotated[str, AfterValidator(_has_scheme)]
    """The scheme chooses the reader: `package://<distribution>/<path inside it>`."""
    format: Literal["csv"] = "csv"
    """The format of the file; `.zip` and `.gz` around it are opened."""
    null_values: list[str] = ["", "NA"]
    """Texts that mean "no value"."""


class Expectation(Spec):
    """One rule about a table. Exactly one rule a line; the severity says what a breach does."""

    column: Identifier | None = None
    """The column the rule is about."""
    columns: list[Identifier] | None = None
    """The columns a rule on several is about."""
    severity: Severity = "critical"
    """`critical` stops the run; `warning` goes to the report."""
    mostly: float = Field(default=1.0, gt=0, le=1)
    """The share of rows that must obey."""
    between: tuple[float, float] | None = None
    """Smallest and largest value allowed, both included."""
    one_of: list[str | int] | None = None
    """The categories allowed."""
    references: str | None = None
    """`<table>.<column>` of this dataset that must hold every value."""
    matches: str | None = None
    """A regular expression that every value matches."""
    not_null: Literal[True] | None = None
    """Every value is present (see `mostly`)."""
    unique: Literal[True] | None = None
    """No value of `column`, or no combination of `columns`, appears twice."""
    rows: tuple[int, int] | None = None
    """Smallest and largest number of rows of the table."""
    fresh_within: Duration | None = None
    """The newest value of `column` is at most this much older than the time of the run."""
    expect: str | None = None
    """Any other expectation of Great Expectations, by its snake_case name."""
    arguments: dict[str, Any] = {}
    """The arguments of `expect`."""

    @property
    def rule(self) -> str:
        """The name of the one rule this line holds."""
        return next(name for name in RULES if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _one_rule(self) -> "Expectation":
        found = [name for name in RULES if getattr(self, name) is not None]
        if len(found) != 1:
            raise ValueError(f"must hold exactly one rule out of {', '.join(RULES)}, but holds {found or 'none'}")
        for name in ("between", "rows"):
            bounds = getattr(self, name)
            if bounds and (bounds[0] > bounds[1] or not any(map(isfinite, bounds))):
                raise ValueError(f"{name} must go from a smaller to a larger number, but is {list(bounds)}")
        if self.arguments and found[0] != "expect":
            raise ValueError("`arguments` belong to `expect`")
        if self.mostly < 1 and found[0] in ("rows", "fresh_within"):
            raise ValueError(f"rule {found[0]!r} is not about single rows, so `mostly` means nothing")
        on_columns = self.columns is not None
        on_column = self.column is not None
        if found[0] in ("rows", "expect"):
            return self
        if on_columns and found[0] != "unique":
            raise ValueError(f"rule {found[0]!r} is about one `column`, not `columns`")
        if on_columns == on_column:
            raise ValueError(f"rule {found[0]!r} needs `column`" + (" or `columns`" if found[0] == "unique" else ""))
        return self


RULES = ("between", "one_of", "references", "matches", "not_null", "unique", "rows", "fresh_within", "expect")


RULE_COLUMNS: Mapping[str, tuple[ColumnType, ...]] = {
    "between": ("int64", "float64"),
    "matches": ("string",),
    "fresh_within": ("timestamp",),
}
"""The types of column that a rule is about; the others are about any."""


class TableSpec(Spec):
    """One table: its source, its shape, its times and its rules."""

    source: SourceSpec
    columns: Annotated[dict[Identifier, ColumnType], Field(min_length=1)]
    """The columns of the source and their types; a file with other columns is refused."""
    derived: dict[Identifier, ColumnType] = {}
    """Columns that the function of this table's name in `tables.py` adds."""
    primary_key: Annotated[list[Identifier], Field(min_length=1)]
    """The columns that name a row; never null, never twice (checked as critical)."""
    event_time: Identifier | None = None
    """When the thing happens. None: a table without time, such as a list of airports."""
    known_at: Identifier | None = None
    """When a row is complete and may be learnt from; a run does not see it before."""
    expectations: list[Expectation] = []
    personal: dict[Identifier, Personal] = {}
    """Column → what records may hold of it. Logs never hold its values."""

    @property
    def all_columns(self) -> Mapping[str, ColumnType]:
        """Source columns, then derived ones."""
        return {**self.columns, **self.derived}

    @model_validator(mode="after")
    def _columns_exist(self) -> "TableSpec":
        for name in self.derived:
            if name in self.columns:
                raise ValueError(f"derived column {name!r} is already a column of the source")
        wanted = [("primary_key", name) for name in self.primary_key]
        wanted += [(key, name) for key in ("event_time", "known_at") if (name := getattr(self, key))]
        wanted += [("personal", name) for name in self.personal]
        for index, rule in enumerate(self.expectations):
            wanted += [(f"expectations.{index}", name) for name in [rule.column, *(rule.columns or [])] if name]
        for where, name in wanted:
            if name not in self.all_columns:
                raise ValueError(f"{where} names the column {name!r}" + did_you_mean(name, self.all_columns))
        for key in ("event_time", "known_at"):
            name = getattr(self, key)
            if name and self.all_columns[name] != "timestamp":
                raise ValueError(f"{key} must be a timestamp, but {name!r} is {self.all_columns[name]}")
        return self

    @model_validator(mode="after")
    def _rules_fit_their_columns(self) -> "TableSpec":
        for index, rule in enumerate(self.expectations):
            needed = RULE_COLUMNS.get(rule.rule)
            kind = self.all_columns[rule.column] if rule.column else None
            if needed and kind and kind not in needed:
                wanted = " or ".join(needed)
                raise ValueError(
                    f"expectations.{index}: {rule.rule} needs a column of {wanted}, but {rule.column!r} is {kind}"
                )
        return self


class DatasetSpec(Spec):
    """A domain of data: its tables, and who answers for them."""

    name: Identifier
    description: str
    owner: str
    """Whom to ask; an address."""
    license: str
    """SPDX identifier of the data's licence."""
    timezone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    """The zone in which a date given by a person begins."""
    tables: Annotated[dict[Identifier, TableSpec], Field(min_length=1)]

    @model_validator(mode="after")
    def _references_exist(self) -> "DatasetSpec":
        for table, spec in self.tables.items():
            for index, rule in enumerate(spec.expectations):
                if rule.references is None:
                    continue
                target, _, column = rule.references.partition(".")
                known = [f"{t}.{c}" for t, s in self.tables.items() for c in s.all_columns]
                if f"{target}.{column}" not in known:
                    where = f"tables.{table}.expectations.{index}.references"
                    raise ValueError(f"{where} names {rule.references!r}" + did_you_mean(rule.references, known))
        return self


def did_you_mean(name: str, known: Any) -> str:
    """`, which does not exist; did you mean 'x'?`, or the list of what exists where nothing is near."""
    return ", which does not exist" + nearest(name, known)


def nearest(name: str, known: Any) -> str:
    """The end of `there is no model 'y'`: `; did you mean 'x'?`, or the list of what there is."""
    from difflib import get_close_matches

    names = [str(item) for item in known]
    near = get_close_matches(name, names, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there {'are' if len(names) != 1 else 'is'} {', '.join(sorted(names)) or 'none'}"
