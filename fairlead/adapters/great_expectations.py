"""Checks the rules of `fairlead.tables.quality` with Great Expectations and writes its data docs."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.compatibility.pydantic import ValidationError
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.data_context.context_factory import project_manager
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.exceptions import GreatExpectationsError
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import ColumnMapExpectation
from great_expectations.expectations.metrics.map_metric_provider import (
    ColumnMapMetricProvider,
    column_condition_partial,
)
from great_expectations.expectations.registry import get_expectation_impl, list_registered_expectation_implementations

from fairlead.adapters.great_expectations_docs import require_replaceable, write_docs
from fairlead.errors import QualityError
from fairlead.spec.dataset import ColumnType, DatasetSpec, nearest
from fairlead.tables.quality import EXAMPLES, QualityReport, Rule, RuleResult, Scalar, rules_for

for _name in ("great_expectations", "great_expectations.data_context.types.base"):  # the second sets its own level
    logging.getLogger(_name).setLevel(logging.ERROR)

_DTYPES: Mapping[ColumnType, tuple[str, ...]] = {
    "bool": ("boolean", "bool"),
    "int64": ("Int64", "int64"),
    "float64": ("Float64", "float64"),
    "string": ("string",),
    "timestamp": ("datetime64[us, UTC]",),
}
"""The pandas types that hold a declared type; the first is the one written in suites."""

_RESULT_FORMAT = {
    "result_format": "SUMMARY",
    "partial_unexpected_count": 20,
    "return_unexpected_index_query": False,
}
"""Answers with the positions of failing rows. Their keys come from our frame: `unexpected_index_column_names` builds a
dict for each failing row, and `include_unexpected_rows` keeps a copy of all of them for each rule."""

_PLATFORM_SETS = ("severity", "description", "meta", "notes", "result_format", "catch_exceptions", "mostly")

_TELLING = ("not_empty", "rows", "fresh_within", "expect")
"""The kinds whose observed value is worth reading when all is well."""

_SOURCE = "tables"
"""The one GX data source; each table is an asset of it."""

_references: ContextVar[Mapping[str, Any]] = ContextVar("references")
"""`<table>.<column>` → its values, while a dataset is being checked."""


class ColumnValuesExistIn(ColumnMapMetricProvider):  # type: ignore[misc]  # no types published
    """Whether each value is one of another table's column."""

    condition_metric_name = "column_values.exist_in"
    condition_value_keys = ("reference",)

    @column_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(cls, column: "pd.Series[Any]", reference: str, **_: Any) -> "pd.Series[bool]":  # noqa: N805
        return column.isin(_references.get()[reference])


class ExpectColumnValuesToExistIn(ColumnMapExpectation):  # type: ignore[misc]  # no types published
    """Expect each value of `column` to be in `reference`, a `<table>.<column>` of the same dataset.

    The values stay out of the suite: thousands of them in a `value_set` make every suite, result and page unreadable
    and slow: GX walks over them a hundred times.
    """

    reference: str
    map_metric = "column_values.exist_in"
    success_keys = ("reference", "mostly")
    args_keys = ("column", "reference")


def validate(
    dataset: DatasetSpec, frames: Mapping[str, pd.DataFrame], *, as_of: datetime, docs: Path | None = None
) -> QualityReport:
    """Check every rule of every table.

    Args:
        dataset: what is declared.
        frames: each table of the dataset, with the source's columns and the derived ones.
        as_of: the time of the run, with a time zone.
        docs: the folder for the data docs, replaced as a whole; its index.html opens from disk, without a network.

    Raises:
        QualityError: a table is missing or has two columns of one name, a declared rule cannot be expressed, or `docs`
            is a folder of other things. Data that breaks rules is no error here: see the report.
    """
    _require_tables(dataset, frames)
    if docs is not None:
        require_replaceable(docs)
    rules = {table: _rules_of_frame(table, dataset, frames[table], as_of) for table in dataset.tables}
    frames = {table: _as_numpy_where_lossless(frame) for table, frame in frames.items()}
    suites = _suites(rules, frames)
    run = RunIdentifier(run_name=dataset.name, run_time=as_of)
    with _context() as context, _values_of(rules, frames):
        results: list[RuleResult] = []
        for table, spec in dataset.tables.items():
            results += _check(context, suites[table], rules[table], frames[table], spec.primary_key, run)
        report = QualityReport(dataset=dataset.name, as_of=as_of, results=tuple(results))
        if docs is not None:
            write_docs(context, report, docs)
    return report


def render_suites(dataset: DatasetSpec, *, as_of: datetime) -> dict[str, dict[str, Any]]:
    """Table → its suite as JSON, as Great Expectations stores it.

    Raises:
        QualityError: a declared rule cannot be expressed.
    """
    suites = _suites({table: rules_for(table, dataset, as_of=as_of) for table in dataset.tables}, {})
    return {table: suite.to_json_dict() for table, suite in suites.items()}


def _require_tables(dataset: DatasetSpec, frames: Mapping[str, pd.DataFrame]) -> None:
    if frames.keys() != dataset.tables.keys():
        declared, given = (", ".join(sorted(names)) or "no table" for names in (dataset.tables, frames))
        raise QualityError(f"dataset {dataset.name!r} has {declared}, but was given {given}")
    for table, frame in frames.items():
        if not frame.columns.is_unique:
            raise QualityError(f"{table}: two columns are named {frame.columns[frame.columns.duplicated()][0]!r}")


def _rules_of_frame(table: str, dataset: DatasetSpec, frame: pd.DataFrame, as_of: datetime) -> list[Rule]:
    """Of an empty table only its emptiness is told, not that every column of it is null too."""
    rules = rules_for(table, dataset, as_of=as_of)
    return [rule for rule in rules if rule.kind != "some_value" or len(frame)]


def _as_numpy_where_lossless(frame: pd.DataFrame) -> pd.DataFrame:
    """The same values in types that Great Expectations compares as whole columns and not value by value.

    It also makes a NaN inside a Float64 column the null that it means; `not_null` would not see it. Rows are numbered.
    """
    plain = frame.copy(deep=False)
    plain.index = pd.RangeIndex(len(frame))
    for name, dtype in frame.dtypes.items():
        if dtype == "Float64":
            plain[name] = frame[name].to_numpy(dtype="float64", na_value=float("nan"))
        elif dtype == "Int64" and not frame[name].hasnans:
            plain[name] = frame[name].to_numpy(dtype="int64")
    return plain


def _suites(rules: Mapping[str, list[Rule]], frames: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    suites = {}
    problems = []
    for table, its_rules in rules.items():
        expectations = []
        dtypes = {str(name): str(dtype) for name, dtype in frames[table].dtypes.items()} if table in frames else {}
        for number, rule in enumerate(its_rules):
            try:
                expectations.append(_expectation(rule, number, dtypes))
            except (QualityError, ValidationError, TypeError) as error:
                problems.append(f"{table}: {rule.text}: {_why(error)}")
        suites[table] = gx.ExpectationSuite(name=table, expectations=expectations)
    if problems:
        raise QualityError("\n".join(problems))
    return suites


def _expectation(rule: Rule, number: int, dtypes: Mapping[str, str]) -> Any:
    name, arguments = _call(rule, dtypes)
    if rule.mostly < 1:
        arguments["mostly"] = rule.mostly
    known = list_registered_expectation_implementations()
    if name not in known:
        raise QualityError(f"there is no expectation {name!r}" + nearest(name, known))
    return get_expectation_impl(name)(
        **arguments,
        severity=rule.severity,
        description=rule.text if rule.severity == "critical" else f"{rule.text} ({rule.severity})",
        meta={"rule": f"{rule.table}.{number}", "kind": rule.kind},
    )


def _call(rule: Rule, dtypes: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The name of an expectation and its arguments."""
    given = rule.arguments
    column = {"column": rule.columns[0]} if rule.columns else {}
    limits = {"min_value": given.get("min"), "max_value": given.get("max")}
    match rule.kind:
        case "columns":
            return "expect_table_columns_to_match_ordered_list", {"column_list": given["columns"]}
        case "type":
            found = dtypes.get(rule.columns[0])
            accepted = _DTYPES[given["type"]]
            return "expect_column_type_to_be", {**column, "type_": found if found in accepted else accepted[0]}
        case "not_empty":
            return "expect_table_row_count_to_be_between", {"min_value": 1}
        case "some_value":
            name = "expect_column_proportion_of_non_null_values_to_be_between"
            return name, {**column, "min_value": 0, "strict_min": True}
        case "not_null":
            return "expect_column_values_to_not_be_null", column
        case "unique" if len(rule.columns) > 1:
            return "expect_compound_columns_to_be_unique", {"column_list": list(rule.columns)}
        case "unique":
            return "expect_column_values_to_be_unique", column
        case "between":
            return "expect_column_values_to_be_between", {**column, **limits}
        case "one_of":
            return "expect_column_values_to_be_in_set", {**column, "value_set": given["values"]}
        case "references":
            return "expect_column_values_to_exist_in", {**column, "reference": given["references"]}
        case "matches":
            return "expect_column_values_to_match_regex", {**column, "regex": given["pattern"]}
        case "rows":
            return "expect_table_row_count_to_be_between", limits
        case "fresh_within":
            oldest = datetime.fromisoformat(given["not_before"])
            return "expect_column_max_to_be_between", {**column, "min_value": oldest}
        case "expect":
            return given["name"], _own_arguments(rule)


def _own_arguments(rule: Rule) -> dict[str, Any]:
    """The arguments of `expect`, and its column or columns, if not among them."""
    given: dict[str, Any] = dict(rule.arguments["arguments"])
    taken = [name for name in _PLATFORM_SETS if name in given]
    if taken:
        raise QualityError(f"the argument {taken[0]!r} is not free: state severity and mostly beside `expect`")
    named = any(name in given for name in ("column", "column_A", "column_list", "column_set"))
    if rule.columns and not named:
        given |= {"column": rule.columns[0]} if len(rule.columns) == 1 else {"column_list": list(rule.columns)}
    return given


def _why(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    parts = [(".".join(map(str, detail["loc"])), detail["msg"]) for detail in error.errors()]
    return "; ".join(text if where == "__root__" else f"argument {where!r}: {text}" for where, text in parts)


@contextmanager
def _context() -> Iterator[Any]:
    """A context in memory that reports to nobody and, when left, lets go of the frames."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    context.data_sources.add_pandas(_SOURCE)
    try:
        yield context
    finally:
        project_manager.set_project(None)


@contextmanager
def _values_of(rules: Mapping[str, list[Rule]], frames: Mapping[str, pd.DataFrame]) -> Iterator[None]:
    wanted = {rule.arguments["references"] for its in rules.values() for rule in its if rule.kind == "references"}
    values = {}
    for reference in wanted:
        table, _, column = reference.partition(".")
        if column in frames[table]:
            values[reference] = frames[table][column].dropna().unique()
    token = _references.set(values)
    try:
        yield
    finally:
        _references.reset(token)


def _check(
    context: Any, suite: Any, rules: list[Rule], frame: pd.DataFrame, key: list[str], run: Any
) -> list[RuleResult]:
    source = context.data_sources.get(_SOURCE)
    batch = source.add_dataframe_asset(suite.name).add_batch_definition_whole_dataframe(suite.name)
    definition = gx.ValidationDefinition(name=suite.name, data=batch, suite=context.suites.add(suite))
    # A GX checkpoint hands the same frame to all of its definitions, so each is run by itself, under one run id.
    try:
        answers = context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": frame}, result_format=_RESULT_FORMAT, run_id=run
        )
    except GreatExpectationsError as error:
        raise QualityError(f"{suite.name}: the rules could not be checked: {error}") from error
    by_rule = {answer.expectation_config.meta["rule"]: answer for answer in answers.results}
    return [_result(rule, by_rule.get(f"{rule.table}.{number}"), frame, key) for number, rule in enumerate(rules)]


def _result(rule: Rule, answer: Any, frame: pd.DataFrame, key: list[str]) -> RuleResult:
    error = "it was given no answer" if answer is None else _error(rule, answer.exception_info, frame)
    if error is not None:
        return RuleResult(rule=rule, passed=False, rows=len(frame), error=error)
    found = answer.result
    percent = found.get("unexpected_percent")
    return RuleResult(
        rule=rule,
        passed=bool(answer.success),
        rows=len(frame),
        unexpected=found.get("unexpected_count"),
        share=None if percent is None else percent / 100,
        observed=None if answer.success and rule.kind not in _TELLING else _observed(rule, found, frame),
        examples=_examples(frame, found.get("partial_unexpected_index_list") or [], [*key, *rule.columns]),
    )


def _error(rule: Rule, info: Any, frame: pd.DataFrame) -> str | None:
    """Why an expectation raised: one reason, or one a metric."""
    details = [info] if "raised_exception" in info else list(info.values())
    raised = [detail["exception_message"] for detail in details if detail["raised_exception"]]
    if not raised:
        return None
    missing = [name for name in rule.columns if name not in frame]
    if missing:
        return f"there is no column {missing[0]!r}"
    if rule.kind == "references" and rule.arguments["references"] not in _references.get():
        return f"there is no {rule.arguments['references']}"
    return "; ".join(dict.fromkeys(raised))


def _observed(rule: Rule, found: Mapping[str, Any], frame: pd.DataFrame) -> str | None:
    value = found.get("observed_value")
    match rule.kind:
        case "columns":
            return _difference(rule.arguments["columns"], list(frame.columns))
        case "type":
            return f"is {value}"
        case "not_empty" | "rows":
            return f"has {value}"
        case "some_value":
            return f"is null in all {len(frame)} rows"
        case "fresh_within":
            return "has no value" if pd.isna(value) else f"its newest is {_scalar(value)}"
        case "between":
            return _extremes(frame[rule.columns[0]], rule.arguments)
        case "expect" if "observed_value" in found:
            return f"found {str(value)[:200]}"
        case _:
            return None


def _difference(declared: list[str], found: list[str]) -> str:
    missing = ", ".join(repr(name) for name in declared if name not in found)
    new = ", ".join(repr(str(name)) for name in found if name not in declared)
    parts = [f"lacks {missing}" if missing else "", f"has {new} too" if new else ""]
    return " and ".join(part for part in parts if part) or f"has {', '.join(map(str, found))}"


def _extremes(column: "pd.Series[Any]", limits: Mapping[str, Any]) -> str:
    low, high = column.min(), column.max()
    parts = []
    if limits["min"] is not None and low < limits["min"]:
        parts.append(f"min={_scalar(low)}")
    if limits["max"] is not None and high > limits["max"]:
        parts.append(f"max={_scalar(high)}")
    return ", ".join(parts)


def _examples(frame: pd.DataFrame, positions: list[int], wanted: list[str]) -> tuple[dict[str, Scalar], ...]:
    names = [name for name in dict.fromkeys(wanted) if name in frame]
    return tuple({name: _scalar(frame[name].iloc[row]) for name in names} for row in positions[:EXAMPLES])


def _scalar(value: Any) -> Scalar:
    """As JSON can hold it."""
    if pd.isna(value):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat().replace("+00:00", "Z")
    value = value.item() if hasattr(value, "item") else value
    plain = isinstance(value, str | bool | int) or (isinstance(value, float) and abs(value) != float("inf"))
    return value if plain else str(value)
