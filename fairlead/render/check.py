"""Do all specs hold, and what they refer to?"""

from pathlib import Path
from typing import Any

from fairlead.adapters.feast import FeastFeatures
from fairlead.adapters.feast_import import import_feast
from fairlead.errors import FairleadError, SpecError
from fairlead.features.definitions import functions, load_module
from fairlead.settings import laptop
from fairlead.spec import DatasetSpec, ModelSpec, load_dataset, load_model
from fairlead.spec.dataset import did_you_mean
from fairlead.training.candidates import CANDIDATES


def check_specs(repo: Path) -> tuple[list[str], dict[str, list[str]]]:
    """All problems, one a line, and the names of what was found."""
    problems: list[str] = []
    datasets = _load_all(sorted((repo / "feature_repo").glob("*/dataset.yaml")), load_dataset, problems)
    models = _load_all(sorted((repo / "pipelines" / "models").glob("*.yaml")), load_model, problems)
    for path, dataset in datasets.items():
        problems += _check(path, lambda dataset=dataset: _check_dataset(repo, dataset))
    by_name = {dataset.name: dataset for dataset in datasets.values()}
    for path, model in models.items():
        problems += _check(path, lambda model=model: _check_model(repo, model, by_name))
    return problems, {"datasets": sorted(by_name), "models": sorted(model.name for model in models.values())}


def _load_all(paths: list[Path], load: Any, problems: list[str]) -> dict[Path, Any]:
    found = {}
    for path in paths:
        try:
            found[path] = load(path)
        except SpecError as error:
            problems += str(error).split("\n")
    return found


def _check(path: Path, find: Any) -> list[str]:
    try:
        return [f"{path}: {problem}" for problem in find()]
    except FairleadError as error:
        return [f"{path}: {error}"]


def _check_dataset(repo: Path, dataset: DatasetSpec) -> list[str]:
    problems = []
    derived = [name for name, table in dataset.tables.items() if table.derived]
    if derived:
        defined = functions(load_module(repo, dataset.name, "tables"))
        problems += [
            f"tables.{name}.derived needs a function {name}() in tables.py" for name in derived if name not in defined
        ]
    if not functions(load_module(repo, dataset.name, "features")):
        problems.append("features.py defines no function")
    return problems


def _check_model(repo: Path, model: ModelSpec, datasets: dict[str, DatasetSpec]) -> list[str]:
    if model.dataset not in datasets:
        return [f"dataset: {model.dataset!r}" + did_you_mean(model.dataset, datasets)]
    dataset = datasets[model.dataset]
    if model.rows.table not in dataset.tables:
        return [f"rows.table: {model.rows.table!r}" + did_you_mean(model.rows.table, dataset.tables)]
    problems = [*_check_columns(model, dataset), *_check_tuning(model)]
    try:
        return problems + _check_service(repo, model)
    except FairleadError as error:
        return [*problems, f"features: {error}"]


def _check_columns(model: ModelSpec, dataset: DatasetSpec) -> list[str]:
    columns = dataset.tables[model.rows.table].all_columns
    wanted = [
        ("rows.ask_at", model.rows.ask_column, "timestamp"),
        ("label.column", model.label.column, "bool"),
        ("label.known_at", model.label.known_at, "timestamp"),
        *((f"request.{index}", name, None) for index, name in enumerate(model.request)),
        *(
            (f"gates.slices.by.{index}", name, None)
            for index, name in enumerate(model.gates.slices.by if model.gates.slices else [])
        ),
    ]
    problems = []
    for where, name, kind in wanted:
        if name not in columns:
            problems.append(f"{where}: column {name!r} of {model.rows.table}" + did_you_mean(name, columns))
        elif kind and columns[name] != kind:
            problems.append(f"{where}: column {name!r} must be a {kind}, but is {columns[name]}")
    problems += [
        f"defaults: {name!r} is text, which has no default: a missing category is a category of its own"
        for name in model.defaults
        if name in model.request and columns.get(name) == "string"
    ]
    if model.label.column in model.request:
        problems.append(f"request: holds the label {model.label.column!r}, which nobody knows at the time of asking")
    return problems


def _check_tuning(model: ModelSpec) -> list[str]:
    problems = []
    for name, space in model.tuning.candidates.items():
        known = CANDIDATES[name].parameters
        for parameter in space:
            if parameter not in known:
                where = f"tuning.candidates.{name}.{parameter}"
                problems.append(f"{where}: parameter {parameter!r}" + did_you_mean(parameter, known))
    if model.tuning.folds * model.split.validation_days >= model.split.train_days:
        problems.append(
            f"tuning.folds: {model.tuning.folds} folds of {model.split.validation_days} days must leave some over, "
            f"but split.train_days is {model.split.train_days}"
        )
    return problems


def _check_service(repo: Path, model: ModelSpec) -> list[str]:
    import_feast(checked=True)
    features = FeastFeatures(laptop(repo / ".fairlead", repo), model.dataset)
    service = features.describe(model.features)
    defined = functions(load_module(repo, model.dataset, "features"))
    inputs = [*model.request, *service.features]
    unknown = [
        f"defaults: input {name!r}" + did_you_mean(name, inputs) for name in model.defaults if name not in inputs
    ]
    tables = [table.rpartition("/")[2] for table in service.tables]
    return unknown + [
        f"features: {model.features} reads the table {table!r}" + did_you_mean(table, defined)
        for table in tables
        if table not in defined
    ]
