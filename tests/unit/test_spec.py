"""Spec files: what loads, what is refused and in which words, and what a pipeline's parameters do to a spec."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fairlead.errors import SpecError
from fairlead.spec import Expectation, ModelSpec, load_dataset, load_model
from fairlead.spec._base import Spec, format_duration, parse_duration

REPO = Path(__file__).parents[2]

DATASET = """\
name: shop
description: What was sold.
owner: data@example.com
license: CC0-1.0
timezone: Europe/Rome
tables:
  sales:
    source: {uri: "file:///sales.csv"}
    columns:
      number: int64
      city: string
      sold_at: timestamp
    primary_key: [number]
    event_time: sold_at
    expectations:
      - {column: city, references: cities.name}
      - {column: sold_at, fresh_within: 2d}
      - {column: city, one_of: [Rome, Oslo]}
  cities:
    source: {uri: "file:///cities.csv"}
    columns: {name: string}
    primary_key: [name]
"""
MODEL = """\
name: will-sell
description: Will it sell?
owner: models@example.com
dataset: shop
task: binary
features: sales_v1
request: [city]
rows: {table: sales, ask_at: "sold_at - 1h"}
label: {column: paid, known_at: paid_at}
split: {train_days: 60, validation_days: 7, test_days: 7}
tuning:
  sampler: tpe
  candidates:
    lightgbm:
      num_leaves: {int: [7, 63], log: true}
    logistic:
      C: {float: [0.001, 10], log: true}
gates:
  roc_auc: {min: 0.6}
"""
RULES = "between, one_of, references, matches, not_null, unique, rows, fresh_within, expect"
KINDS = "`int: [low, high]`, `float: [low, high]` or `choice: [...]`"
ZONE = "must be an IANA time zone such as America/New_York"
COLUMN_TYPES = "bool, int64, float64, string, timestamp"
FORM = "must be a number and a unit (m, h, d or w), such as 90m or 7d"

Load = Callable[..., Any]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def edit(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


def problems(load: Load, path: Path) -> list[str]:
    """The lines of the refusal, without the path of the file."""
    with pytest.raises(SpecError) as refusal:
        load(path)
    return [line.removeprefix(f"{path}:") for line in str(refusal.value).split("\n")]


def problems_of_dataset(folder: Path, text: str) -> list[str]:
    return problems(load_dataset, write(folder / "shop" / "dataset.yaml", text))


def problems_of_model(folder: Path, text: str) -> list[str]:
    return problems(load_model, write(folder / "will-sell.yaml", text))


def test_the_datasets_and_models_of_the_repository_load() -> None:
    dataset = load_dataset(REPO / "feature_repo" / "flights" / "dataset.yaml")
    model = load_model(REPO / "pipelines" / "models" / "flight-delay.yaml")
    assert list(dataset.tables) == ["flights", "weather", "planes", "airports", "airlines"]
    assert list(dataset.tables["flights"].all_columns)[-6:] == list(dataset.tables["flights"].derived)
    assert (model.rows.ask_column, model.rows.ask_offset) == ("scheduled_departure", timedelta(hours=-1))
    assert list(model.gates.metric_bounds) == ["roc_auc", "expected_calibration_error"]


DATASET_MISTAKES = [
    ("timezone:", "time_zone:", "5: time_zone", "unknown key; did you mean 'timezone'?"),
    ('{uri: "file:///sales.csv"}', "{url: a}", "8: tables.sales.source.uri", "is required, but missing"),
    (
        "{column: city, one_of",
        "{column: city, one_off",
        "18: tables.sales.expectations.2.one_off",
        "unknown key; did you mean 'one_of'?",
    ),
    ("    event_time", "    events", "14: tables.sales.events", "unknown key; did you mean 'event_time'?"),
    ("license: CC0-1.0\n", "", "1: the file", "license is required, but missing"),
    ("    primary_key: [name]\n", "", "19: tables.cities.primary_key", "is required, but missing"),
    (
        "city: string",
        "city: strin",
        "11: tables.sales.columns.city",
        f"must be one of {COLUMN_TYPES}, but is 'strin'; did you mean 'string'?",
    ),
    ("owner: data@example.com", "owner: 7", "3: owner", "input should be a valid string, but is 7"),
    ("owner: data@example.com", "owner:", "3: owner", "input should be a valid string, but is None"),
    ("[Rome, Oslo]", "Rome", "18: tables.sales.expectations.2.one_of", "input should be a valid list, but is 'Rome'"),
    (
        "fresh_within: 2d",
        "fresh_within: 2 days",
        "17: tables.sales.expectations.1.fresh_within",
        f"{FORM}, but is '2 days'",
    ),
    ("fresh_within: 2d", "fresh_within: 2", "17: tables.sales.expectations.1.fresh_within", f"{FORM}, but is 2"),
    (
        "fresh_within: 2d",
        "fresh_within: 9999999999d",
        "17: tables.sales.expectations.1.fresh_within",
        "must be a duration of at most 999999999 days, but is '9999999999d'",
    ),
    ("Europe/Rome", "Europe/Roma", "5: timezone", f"{ZONE}, but is 'Europe/Roma'"),
    ("Europe/Rome", "Europe", "5: timezone", f"{ZONE}, but is 'Europe'"),
    ("name: shop", "name: shops", "1", "name must be 'shop' like its place, but is 'shops'"),
    ("name: shop", "name: Shop", "1: name", "string should match pattern '^[a-z][a-z0-9_]*$', but is 'Shop'"),
    (
        "[number]",
        "[nummer]",
        "13: tables.sales.primary_key",
        "names the column 'nummer', which does not exist; did you mean 'number'?",
    ),
    (
        "event_time: sold_at",
        "event_time: at",
        "14: tables.sales.event_time",
        "names the column 'at', which does not exist; there are city, number, sold_at",
    ),
    (
        "event_time: sold_at",
        "event_time: city",
        "14: tables.sales.event_time",
        "must be a timestamp, but 'city' is string",
    ),
    (
        "{column: city, one",
        "{column: town, one",
        "18: tables.sales.expectations.2",
        "names the column 'town', which does not exist; there are city, number, sold_at",
    ),
    (
        "cities.name",
        "city.name",
        "16: tables.sales.expectations.0.references",
        "names 'city.name', which does not exist; did you mean 'cities.name'?",
    ),
    (
        "cities.name",
        "cities",
        "16: tables.sales.expectations.0.references",
        "names 'cities', which does not exist; did you mean 'cities.name'?",
    ),
    (
        ", one_of: [Rome, Oslo]",
        "",
        "18: tables.sales.expectations.2",
        f"must hold exactly one rule out of {RULES}, but holds none",
    ),
    (
        "fresh_within: 2d",
        "not_null: true, unique: true",
        "17: tables.sales.expectations.1",
        f"must hold exactly one rule out of {RULES}, but holds ['not_null', 'unique']",
    ),
    (
        "file:///sales.csv",
        "sales.csv",
        "8: tables.sales.source.uri",
        "must start with a scheme such as package:// or file://, but is 'sales.csv'",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "where", "what"), DATASET_MISTAKES, ids=[new or f"no {old}" for old, new, _, _ in DATASET_MISTAKES]
)
def test_a_mistake_in_a_dataset_is_told_with_its_line_its_keys_the_rule_and_the_value(
    tmp_path: Path, old: str, new: str, where: str, what: str
) -> None:
    assert problems_of_dataset(tmp_path, edit(DATASET, old, new))[0] == f"{where}: {what}"


MODEL_MISTAKES = [
    (
        "sampler: tpe",
        "sampler: tp",
        "12: tuning.sampler",
        "must be one of tpe, random, grid, but is 'tp'; did you mean 'tpe'?",
    ),
    ("task: binary", "task: counts", "5: task", "must be one of binary, but is 'counts'"),
    (
        "    lightgbm:",
        "    lightgmb:",
        "14: tuning.candidates.lightgmb",
        "must be one of lightgbm, hist_gradient_boosting, logistic, but is 'lightgmb'; did you mean 'lightgbm'?",
    ),
    ("log: true}", "lgo: true}", "15: tuning.candidates.lightgbm.num_leaves.lgo", "unknown key; did you mean 'log'?"),
    (
        "log: true}",
        "log: 7}",
        "15: tuning.candidates.lightgbm.num_leaves.log",
        "input should be a valid boolean, unable to interpret input, but is 7",
    ),
    (
        "[7, 63]",
        "[7, x]",
        "15: tuning.candidates.lightgbm.num_leaves.int.1",
        "input should be a valid integer, unable to parse string as an integer, but is 'x'",
    ),
    ("[7, 63]", "[7]", "15: tuning.candidates.lightgbm.num_leaves.int.1", "is required, but missing"),
    (
        "[7, 63]",
        "[63, 7]",
        "15: tuning.candidates.lightgbm.num_leaves",
        "must go from the smaller to the larger, but is [63, 7]",
    ),
    (
        "[0.001, 10]",
        "[0, 10]",
        "17: tuning.candidates.logistic.C",
        "must begin above 0 where `log` is true, but is [0.0, 10.0]",
    ),
    (
        "{int: [7",
        "{integer: [7",
        "15: tuning.candidates.lightgbm.num_leaves",
        f"must hold one of {KINDS}, but is {{'integer': [7, 63], 'log': True}}",
    ),
    (
        "{int: [7, 63], log: true}",
        "7",
        "15: tuning.candidates.lightgbm.num_leaves",
        f"must hold one of {KINDS}, but is 7",
    ),
    (
        "sampler: tpe",
        "sampler: grid",
        "11: tuning",
        "the grid sampler needs a `choice` for candidates.lightgbm.num_leaves",
    ),
    ("roc_auc: {min", "roc_auc: {mn", "19: gates.roc_auc.mn", "unknown key; did you mean 'min'?"),
    ("{min: 0.6}", "{}", "19: gates.roc_auc", "must have `min` or `max`"),
    ("train_days: 60", "train_days: 0", "10: split.train_days", "input should be greater than or equal to 1, but is 0"),
    (
        "train_days: 60",
        "train_days: many",
        "10: split.train_days",
        "input should be a valid integer, unable to parse string as an integer, but is 'many'",
    ),
    (
        "sold_at - 1h",
        "an hour before",
        "8: rows.ask_at",
        "must read `<column>`, or `<column> - 1h`, but is 'an hour before'",
    ),
    (
        "sold_at - 1h",
        "sold_at - 9999999999d",
        "8: rows.ask_at",
        "must be a duration of at most 999999999 days, but is '9999999999d'",
    ),
    (
        'rows: {table: sales, ask_at: "sold_at - 1h"}',
        "rows:",
        "8: rows",
        "input should be a valid dictionary or instance of RowsSpec, but is None",
    ),
    ("name: will-sell", "name: sells", "1", "name must be 'will-sell' like its place, but is 'sells'"),
]


@pytest.mark.parametrize(("old", "new", "where", "what"), MODEL_MISTAKES, ids=[new for _, new, _, _ in MODEL_MISTAKES])
def test_a_mistake_in_a_model_is_told_with_its_line_its_keys_the_rule_and_the_value(
    tmp_path: Path, old: str, new: str, where: str, what: str
) -> None:
    assert problems_of_model(tmp_path, edit(MODEL, old, new))[0] == f"{where}: {what}"


def test_several_mistakes_are_told_in_one_go_a_line_each(tmp_path: Path) -> None:
    text = edit(edit(MODEL, "owner:", "ownr:"), "dataset: shop\n", "")
    assert problems_of_model(tmp_path, edit(text, "task: binary", "task: binry")) == [
        "1: the file: owner is required, but missing",
        "1: the file: dataset is required, but missing",
        "4: task: must be one of binary, but is 'binry'; did you mean 'binary'?",
        "3: ownr: unknown key; did you mean 'owner'?",
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"name: [shop\ntables: {}\n", "2: is not YAML: expected ',' or ']', but got ':'"),
        (b"name: shop\nname: shops\n", '2: is not YAML: found duplicate key "name"'),
        (b"name: shop\n---\nname: shops\n", "2: is not YAML: but found another document"),
        (b"name: \xff\n", "1: is not YAML: 'utf-8' codec can't decode byte 0xff"),
        (b"name: \x01\n", "1: is not YAML: unacceptable character #x0001"),
        (b"- name: shop\n", "1: must be a mapping of keys to values, but is a list"),
        (b"shop\n", "1: must be a mapping of keys to values, but is 'shop'"),
        (b"", "1: must be a mapping of keys to values, but is empty"),
    ],
)
def test_a_file_that_is_no_mapping_in_yaml_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "dataset.yaml"
    path.write_bytes(content)
    assert problems(load_dataset, path)[0].startswith(told)


def test_a_file_that_is_missing_or_a_folder_is_refused(tmp_path: Path) -> None:
    assert problems(load_model, tmp_path / "none.yaml") == [" there is no such file"]
    assert problems(load_model, tmp_path) == [" cannot be read: Is a directory"]


def test_a_mistake_in_what_a_merge_key_brings_in_is_told_at_the_place_that_merges(tmp_path: Path) -> None:
    text = edit(DATASET, "  cities:\n", "  cities: &cities\n    speed: fast\n")
    told = problems_of_dataset(tmp_path, text + "  towns:\n    <<: *cities\n")
    assert told[0].startswith("20: tables.cities.speed: unknown key")
    assert told[1].startswith("24: tables.towns.speed: unknown key")


def test_nothing_in_a_spec_can_be_set(tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path / "shop" / "dataset.yaml", DATASET))
    model = load_model(write(tmp_path / "will-sell.yaml", MODEL))
    parts = [(dataset, "name"), (dataset.tables["sales"], "event_time"), (dataset.tables["sales"].source, "uri")]
    for part, field in [*parts, (model, "task"), (model.split, "test_days"), (model.gates, "roc_auc")]:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, field, getattr(part, field))


@settings(deadline=None, max_examples=50)
@given(st.timedeltas(timedelta(0), timedelta(days=5000)).map(lambda span: span - span % timedelta(minutes=1)))
def test_a_duration_reads_back_as_it_was(span: timedelta) -> None:
    assert parse_duration(format_duration(span)) == span


@pytest.mark.parametrize(
    ("ask_at", "column", "offset"),
    [
        ("sold_at", "sold_at", timedelta(0)),
        ("sold_at - 90m", "sold_at", timedelta(minutes=-90)),
        ("sold_at+2d", "sold_at", timedelta(days=2)),
    ],
)
def test_the_time_of_asking_is_a_column_and_an_offset(
    tmp_path: Path, ask_at: str, column: str, offset: timedelta
) -> None:
    model = load_model(write(tmp_path / "will-sell.yaml", edit(MODEL, "sold_at - 1h", ask_at)))
    assert (model.rows.ask_column, model.rows.ask_offset) == (column, offset)


def is_same_in_a_step(spec: Spec) -> bool:
    """Does a step of a pipeline read its parameter as the same spec: values, their types, and the order of keys?"""
    parameter = spec.to_parameter()
    json.loads(parameter, parse_constant=pytest.fail)  # no NaN or Infinity, which are not JSON
    again = type(spec).model_validate_json(parameter)
    return again == spec and again.to_parameter() == parameter


COUNTS = st.integers(1, 2**53)
WHOLE = st.tuples(COUNTS, COUNTS).map(sorted)
REAL = st.tuples(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6)).map(sorted)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
PARAMETERS = st.one_of(
    st.fixed_dictionaries({"int": WHOLE, "log": st.booleans()}),
    st.fixed_dictionaries({"float": REAL}),
    st.fixed_dictionaries({"choice": st.lists(SCALARS, min_size=1)}),
)
BOUNDS = st.fixed_dictionaries({"min": st.floats(0, 1)}) | st.fixed_dictionaries({"max": st.integers(0, 9)})
MODELS = st.fixed_dictionaries(
    {
        "tuning": st.fixed_dictionaries(
            {
                "trials": COUNTS,
                "seed": st.integers(-(2**53), 2**53),
                "candidates": st.dictionaries(
                    st.sampled_from(["lightgbm", "logistic"]),
                    st.dictionaries(st.text(max_size=5), PARAMETERS, max_size=3),
                    min_size=1,
                ),
            }
        ),
        "gates": st.fixed_dictionaries(
            {}, optional={"brier": BOUNDS, "latency_p99_ms": BOUNDS, "champion": st.just({"margin": 0.01})}
        ),
    }
)


@settings(deadline=None, max_examples=50)
@given(MODELS)
def test_a_model_is_the_same_in_a_step_of_a_pipeline(parts: dict[str, Any]) -> None:
    whole = {
        "name": "will-sell",
        "description": "",
        "owner": "",
        "dataset": "shop",
        "task": "binary",
        "features": "sales_v1",
        "request": ["city"],
        "rows": {"table": "sales", "ask_at": "sold_at - 1h"},
        "label": {"column": "paid", "known_at": "paid_at"},
        "split": {"train_days": 60, "validation_days": 7, "test_days": 7},
    }
    assert is_same_in_a_step(ModelSpec.model_validate(whole | parts))


@pytest.mark.parametrize(
    "rule",
    [
        {"rows": [1, 10_000_000]},
        {"column": "age", "between": [-5, 0.5], "mostly": 0.9999, "severity": "warning"},
        {"column": "age", "between": [0, float("inf")]},
        {"column": "age", "one_of": [1, 2, "two", "3"]},
        {"columns": ["age", "city"], "unique": True},
        {"column": "sold_at", "fresh_within": "90m"},
        {"expect": "expect_it", "arguments": {"min_value": 1, "strict": True, "limits": [None, 2.5], "other": None}},
    ],
    ids=lambda rule: str(rule),
)
def test_a_rule_is_the_same_in_a_step_of_a_pipeline(rule: dict[str, Any]) -> None:
    assert is_same_in_a_step(Expectation.model_validate(rule))


def test_the_specs_of_the_repository_are_the_same_in_a_step_of_a_pipeline() -> None:
    assert is_same_in_a_step(load_dataset(REPO / "feature_repo" / "flights" / "dataset.yaml"))
    assert is_same_in_a_step(load_model(REPO / "pipelines" / "models" / "flight-delay.yaml"))
