"""`fairlead check`: what specs refer to, in a copy of the repository with one mistake at a time."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead.render.check import check_specs

REPO = Path(__file__).parents[2]
MODEL = "pipelines/models/flight-delay.yaml"
DATASET = "feature_repo/flights/dataset.yaml"
TABLES = "feature_repo/flights/tables.py"
FEATURES = "feature_repo/flights/features.py"
VIEWS = "feature_repo/flights/views.py"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """What specs are made of, and no more of the repository."""
    for folder in ("feature_repo", "pipelines/models"):
        shutil.copytree(REPO / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def problems(repo: Path) -> list[str]:
    """What `check_specs` finds, without the folder of the copy."""
    return [problem.replace(f"{repo}/", "") for problem in check_specs(repo)[0]]


def test_the_repository_is_fine_as_it_is(repo: Path) -> None:
    assert check_specs(repo) == ([], {"datasets": ["flights"], "models": ["flight-delay"]})


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "features: flight_delay_v1",
            "features: flight_delay_v2",
            "features: there is no feature service 'flight_delay_v2'; did you mean 'flight_delay_v1'?",
        ),
        (
            "column: arrived_late",
            "column: arived_late",
            "label.column: column 'arived_late' of flights, which does not exist; did you mean 'arrived_late'?",
        ),
        ("column: arrived_late", "column: arr_delay", "label.column: column 'arr_delay' must be a bool, but is int64"),
        (
            "known_at: actual_arrival",
            "known_at: arr_time",
            "label.known_at: column 'arr_time' must be a timestamp, but is int64",
        ),
        ("scheduled_departure - 1h", "hour", "rows.ask_at: column 'hour' must be a timestamp, but is int64"),
        (
            "request: [carrier",
            "request: [carier",
            "request.0: column 'carier' of flights, which does not exist; did you mean 'carrier'?",
        ),
        (
            "weekday]",
            "arrived_late]",
            "request: holds the label 'arrived_late', which nobody knows at the time of asking",
        ),
        (
            "by: [origin, carrier]",
            "by: [origin, carriers]",
            "gates.slices.by.1: column 'carriers' of flights, which does not exist; did you mean 'carrier'?",
        ),
        ("table: flights", "table: flight", "rows.table: 'flight', which does not exist; did you mean 'flights'?"),
        ("dataset: flights", "dataset: flight", "dataset: 'flight', which does not exist; did you mean 'flights'?"),
        (
            "num_leaves:",
            "num_leafs:",
            "tuning.candidates.lightgbm.num_leafs: parameter 'num_leafs', which does not exist; did you mean "
            "'num_leaves'?",
        ),
        (
            "gates:",
            "defaults: {distanc: 0}\ngates:",
            "defaults: input 'distanc', which does not exist; did you mean 'distance'?",
        ),
        (
            "rows: {",
            "defaults: {carrier: 0}\nrows: {",
            "defaults: 'carrier' is text, which has no default: a missing category is a category of its own",
        ),
    ],
    ids=lambda text: text.partition(": ")[0],
)
def test_a_model_must_refer_to_what_exists_and_fits(repo: Path, old: str, new: str, problem: str) -> None:
    edit(repo / MODEL, old, new)
    assert problems(repo) == [f"{MODEL}: {problem}"]


def test_the_folds_must_leave_days_to_fit_on(repo: Path) -> None:
    edit(repo / MODEL, "folds: 3", "folds: 9")
    assert [
        problem.startswith(f"{MODEL}: tuning.folds: 9 folds of 7 days must leave") for problem in problems(repo)
    ] == [True]


def test_each_view_needs_a_function_that_makes_its_table(repo: Path) -> None:
    edit(repo / FEATURES, "def weather_at_origin(", "def weather_at_origins(")
    assert problems(repo) == [
        f"{MODEL}: features: flight_delay_v1 reads the table 'weather_at_origin', which does not exist; "
        "did you mean 'weather_at_origins'?"
    ]


def test_each_table_with_derived_columns_needs_a_function(repo: Path) -> None:
    edit(repo / TABLES, "def weather(", "def wheather(")
    assert problems(repo) == [f"{DATASET}: tables.weather.derived needs a function weather() in tables.py"]


def test_the_mistakes_of_a_model_are_all_told_also_when_its_features_cannot_be_read(repo: Path) -> None:
    edit(repo / MODEL, "features: flight_delay_v1", "features: flight_delay")
    edit(repo / MODEL, "folds: 3", "folds: 9")
    edit(repo / MODEL, "weekday]", "week]")
    found = [problem.removeprefix(f"{MODEL}: ").partition(":")[0] for problem in problems(repo)]
    assert found == ["request.5", "tuning.folds", "features"]


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        (VIEWS, "carrier = Entity(", "carrier = Entities(", "name 'Entities' is not defined"),
        (VIEWS, 'join_keys=["carrier"]', 'join_keys=["carrier", "name"]', "An entity may only have a single join key"),
        (FEATURES, "import ibis\n", "import ibises\n", "No module named 'ibises'"),
        (TABLES, "LATE_MINUTES = 15", "LATE_MINUTES = 15 / 0", "division by zero"),
    ],
)
def test_code_that_cannot_be_imported_is_told_with_its_file_and_the_reason(
    repo: Path, file: str, old: str, new: str, reason: str
) -> None:
    edit(repo / file, old, new)
    assert any(f"{file}: cannot be imported: {reason}" in problem for problem in problems(repo))


def test_an_argument_of_a_wrong_type_in_a_view_is_told(repo: Path) -> None:
    edit(repo / VIEWS, "ttl=ttl,", "ttl=str(ttl),")
    # In a process of its own: here Feast may have been imported without its checks.
    command = [str(Path(sys.executable).with_name("fairlead")), "check"]
    environ = {**os.environ, "FAIRLEAD_REPO": str(repo)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f'{VIEWS}: cannot be imported: argument "ttl" (str)' in " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize("file", [TABLES, FEATURES, VIEWS])
def test_a_missing_file_of_code_is_told(repo: Path, file: str) -> None:
    (repo / file).unlink()
    assert any(f"{file}: there is no such file" in problem for problem in problems(repo))


def test_mistakes_within_the_files_are_told_for_all_of_them(repo: Path) -> None:
    edit(repo / MODEL, "owner:", "ownr:")
    edit(repo / DATASET, "license:", "licence:")
    assert [problem.partition(": ")[0] for problem in problems(repo)] == [
        f"{DATASET}:1",
        f"{DATASET}:5",
        f"{MODEL}:1",
        f"{MODEL}:4",
    ]
