"""What the quality gate demands of a table, and what it says when the table does not comply."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fairlead.errors import QualityError
from fairlead.spec.dataset import DatasetSpec
from fairlead.tables.quality import QualityReport, Rule, RuleResult, refuse_if_critical, rules_for

INFINITY = float("inf")
AS_OF = datetime(2024, 3, 1, tzinfo=UTC)


def dataset(*expectations: dict[str, Any]) -> DatasetSpec:
    """Trips with a key of two columns, and the cities that they name."""
    source = {"uri": "file:///trips.csv"}
    trips = {
        "source": source,
        "columns": {"id": "int64", "city": "string", "distance": "float64", "left_at": "timestamp"},
        "derived": {"late": "bool"},
        "primary_key": ["id", "city"],
        "event_time": "left_at",
        "expectations": list(expectations),
    }
    cities = {"source": source, "columns": {"name": "string"}, "primary_key": ["name"]}
    return DatasetSpec.model_validate(
        {
            "name": "trips",
            "description": "Trips.",
            "owner": "data@example.com",
            "license": "CC0-1.0",
            "tables": {"trips": trips, "cities": cities},
        }
    )


def rules(*expectations: dict[str, Any], as_of: datetime = AS_OF) -> list[Rule]:
    return rules_for("trips", dataset(*expectations), as_of=as_of)


def declared(expectation: dict[str, Any]) -> Rule:
    return rules(expectation)[-1]


def failed(rule: Rule, **facts: Any) -> RuleResult:
    return RuleResult(rule=rule, **{"passed": False, "rows": 10, **facts})


def test_every_table_gets_the_same_critical_rules_without_declaring_any():
    assert [(rule.kind, rule.text) for rule in rules()] == [
        ("columns", "must have exactly the columns id, city, distance, left_at, late, in this order"),
        ("not_empty", "must have at least 1 row"),
        ("type", "column 'id' must be of type int64"),
        ("type", "column 'city' must be of type string"),
        ("type", "column 'distance' must be of type float64"),
        ("type", "column 'left_at' must be of type timestamp"),
        ("type", "column 'late' must be of type bool"),
        ("not_null", "primary key column 'id' must not be null"),
        ("not_null", "primary key column 'city' must not be null"),
        ("not_null", "event time 'left_at' must not be null"),
        ("unique", "primary key id, city must be unique"),
        ("some_value", "column 'distance' must hold a value in some row"),
    ]
    assert {rule.severity for rule in rules()} == {"critical"}


def test_a_table_without_event_time_has_no_rule_about_it():
    assert not any("event time" in rule.text for rule in rules_for("cities", dataset(), as_of=AS_OF))


@pytest.mark.parametrize(
    ("expectation", "text"),
    [
        ({"column": "distance", "between": [0, 5000]}, "column 'distance' must be within [0, 5000]"),
        ({"column": "distance", "between": [-0.5, INFINITY]}, "column 'distance' must be at least -0.5"),
        ({"column": "id", "between": [-INFINITY, 10_000_000]}, "column 'id' must be at most 10000000"),
        ({"column": "city", "one_of": ["EWR", "JFK"]}, "column 'city' must be one of EWR, JFK"),
        ({"column": "city", "references": "cities.name"}, "column 'city' must be in cities.name"),
        ({"column": "city", "matches": "^[A-Z]{3}$"}, "column 'city' must match '^[A-Z]{3}$'"),
        (
            {"column": "id", "not_null": True, "mostly": 0.9999},
            "column 'id' must not be null in at least 99.99% of rows",
        ),
        ({"columns": ["id", "left_at"], "unique": True}, "columns id, left_at together must be unique"),
        ({"rows": [1000, 10_000_000]}, "must have 1000 to 10000000 rows"),
        ({"column": "left_at", "fresh_within": "2d"}, "must reach 2024-02-28T00:00:00Z (at most 2d old)"),
        (
            {"column": "id", "expect": "expect_column_median_to_be_between", "arguments": {"min_value": 3}},
            "column 'id' must obey expect_column_median_to_be_between(min_value=3)",
        ),
    ],
)
def test_a_declared_rule_reads_as_a_sentence(expectation, text):
    assert declared(expectation).text.endswith(text)


def test_a_declared_rule_keeps_its_severity_and_share():
    rule = declared({"column": "city", "not_null": True, "mostly": 0.5, "severity": "warning"})
    assert (rule.severity, rule.mostly, rule.columns) == ("warning", 0.5, ("city",))


def test_the_columns_of_a_free_expectation_are_read_from_its_arguments():
    arguments = {"column_A": "id", "column_B": "distance"}
    rule = declared({"expect": "expect_column_pair_values_to_be_equal", "arguments": arguments})
    assert rule.columns == ("id", "distance")


def test_freshness_counts_from_the_time_of_the_run_in_any_zone():
    paris = AS_OF.astimezone(timezone(timedelta(hours=1)))
    fresh = {"column": "left_at", "fresh_within": "1h"}
    assert rules(fresh, as_of=paris) == rules(fresh)
    assert declared(fresh).arguments["not_before"] == "2024-02-29T23:00:00Z"


def test_a_time_of_the_run_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="must have a time zone"):
        rules(as_of=datetime(2024, 3, 1))


@pytest.mark.parametrize(
    ("expectation", "problem"),
    [
        ({"column": "late", "between": [0, 1]}, "between needs a column of int64 or float64, but 'late' is bool"),
        ({"column": "city", "between": [0, 1]}, "between needs a column of int64 or float64, but 'city' is string"),
        ({"column": "id", "between": [-INFINITY, INFINITY]}, "must go from a smaller to a larger number"),
        ({"column": "id", "between": [5, 1]}, "must go from a smaller to a larger number"),
        ({"rows": [5, 1]}, "must go from a smaller to a larger number"),
        ({"column": "id", "fresh_within": "1d"}, "fresh_within needs a column of timestamp, but 'id' is int64"),
        ({"column": "id", "not_null": False}, "Input should be True"),
        ({"column": "id", "unique": False}, "Input should be True"),
        ({"rows": [1, 2], "mostly": 0.5}, "is not about single rows, so `mostly` means nothing"),
        ({"column": "id", "not_null": True, "arguments": {"a": 1}}, "`arguments` belong to `expect`"),
    ],
)
def test_a_rule_that_no_data_could_break_is_refused_by_the_spec(expectation, problem):
    with pytest.raises(ValidationError, match=problem):
        rules(expectation)


def test_a_message_names_table_column_rule_counts_extreme_and_examples():
    rule = declared({"column": "distance", "between": [0, 5000]})
    rows = ({"id": 1, "city": "EWR", "distance": 9999.0}, {"id": 2, "city": None, "distance": 6000.0})
    result = failed(rule, rows=336776, unexpected=3, observed="max=9999.0", examples=rows)
    assert result.message == (
        "trips: column 'distance' must be within [0, 5000], but 3 of 336776 rows are not (max=9999.0), "
        "e.g. id=1 city=EWR distance=9999.0; id=2 city=null distance=6000.0"
    )


@pytest.mark.parametrize(
    ("expectation", "facts", "end"),
    [
        ({"column": "city", "matches": "^A"}, {"unexpected": 1}, "must match '^A', but 1 of 10 rows does not"),
        ({"column": "city", "matches": "^A"}, {"unexpected": 2}, "must match '^A', but 2 of 10 rows do not"),
        ({"column": "city", "not_null": True}, {"unexpected": 2}, "must not be null, but 2 of 10 rows are"),
        (
            {"column": "city", "not_null": True, "mostly": 0.9},
            {"unexpected": 2, "share": 0.2},
            "2 of 10 rows (20.00%) are",
        ),
        ({"rows": [20, 30]}, {"observed": "has 10"}, "must have 20 to 30 rows, but has 10"),
        ({"column": "city", "matches": "("}, {"error": "unbalanced"}, "but this could not be checked: unbalanced"),
        ({"column": "city", "matches": "("}, {}, "must match '(', but this is not so"),
    ],
)
def test_a_message_says_how_many_rows_in_the_words_of_its_rule(expectation, facts, end):
    assert failed(declared(expectation), **facts).message.endswith(end)


def test_a_passed_rule_is_told_without_a_complaint():
    result = RuleResult(rule=declared({"rows": [1, 9]}), passed=True, rows=3)
    assert result.message == "trips: must have 1 to 9 rows"


def report(*results: RuleResult) -> QualityReport:
    return QualityReport(dataset="trips", as_of=AS_OF, results=results)


def test_a_failed_critical_rule_stops_the_run_with_one_line_each():
    first, second = declared({"rows": [20, 30]}), declared({"column": "city", "matches": "^A"})
    with pytest.raises(QualityError) as caught:
        refuse_if_critical(report(failed(first, observed="has 10"), failed(second, unexpected=1)))
    assert str(caught.value).splitlines() == [
        "trips: must have 20 to 30 rows, but has 10",
        "trips: column 'city' must match '^A', but 1 of 10 rows does not",
    ]


def test_a_failed_warning_lets_the_run_go_on():
    warning = failed(declared({"rows": [20, 30], "severity": "warning"}), observed="has 10")
    refuse_if_critical(report(warning))
    assert report(warning).failures() == [warning]
    assert report(warning).failures("critical") == []


def test_failures_of_one_severity_are_only_those_that_did_not_pass():
    rule = declared({"rows": [20, 30]})
    passed = RuleResult(rule=rule, passed=True, rows=30)
    assert report(passed, failed(rule)).failures("critical") == [failed(rule)]


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(example=st.dictionaries(st.text(min_size=1), SCALARS), share=st.none() | st.floats(0, 1))
def test_a_report_is_the_same_after_a_journey_through_json(example, share):
    rule = declared({"column": "left_at", "fresh_within": "2d", "severity": "warning"})
    sent = report(failed(rule, unexpected=1, share=share, examples=(example,)), *(failed(rule) for rule in rules()))
    assert QualityReport.model_validate_json(sent.model_dump_json()) == sent


def test_the_rules_are_known_without_great_expectations():
    code = "import sys, fairlead.tables.quality; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
