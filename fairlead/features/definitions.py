"""The functions that a dataset folder declares in `tables.py` and `features.py`."""

import importlib.util
import inspect
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from fairlead.errors import SpecError
from fairlead.spec.dataset import did_you_mean

if TYPE_CHECKING:
    import ibis.expr.types as ir


def load_module(repo: Path, dataset: str, name: str) -> ModuleType:
    """Load `feature_repo/<dataset>/<name>.py` from its file: a dataset is a folder, not an installed package.

    Raises:
        SpecError: there is no such file, or it does not import.
    """
    path = repo / "feature_repo" / dataset / f"{name}.py"
    if not path.is_file():
        raise SpecError(f"{path}: there is no such file")
    spec = importlib.util.spec_from_file_location(f"feature_repo.{dataset}.{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the code of a dataset raises, such as Feast's refusal of a view
        raise SpecError(f"{path}: cannot be imported: {error}") from error
    return module


def functions(module: ModuleType) -> list[str]:
    """The public functions that a module defines itself, in the order of the file."""
    found = [(name, item) for name, item in vars(module).items() if inspect.isfunction(item)]
    return [name for name, item in found if item.__module__ == module.__name__ and not name.startswith("_")]


def call_by_names(module: ModuleType, name: str, tables: "Mapping[str, ir.Table]") -> "ir.Table":
    """Call a function with the tables that its parameters name.

    Raises:
        SpecError: there is no such function, a parameter names no table, or the result is none.
    """
    from ibis.expr.types import Table

    function = getattr(module, name, None)
    if not callable(function):
        raise SpecError(f"{module.__file__}: must define {name}()" + did_you_mean(name, functions(module)))
    wanted = list(inspect.signature(function).parameters)
    for parameter in wanted:
        if parameter not in tables:
            raise SpecError(
                f"{module.__file__}: {name}() asks for the table {parameter!r}" + did_you_mean(parameter, tables)
            )
    result: ir.Table = function(**{parameter: tables[parameter] for parameter in wanted})
    if not isinstance(result, Table):
        raise SpecError(f"{module.__file__}: {name}() must return a table, but returns {type(result).__name__}")
    return result
