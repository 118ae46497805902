"""The locks of the images agree with the one of everything, and hold what their entry points import."""

import ast
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
OWN = ("components", "fairlead", "feature_repo", "monitoring", "pipelines", "serving")
ENTRY_POINTS = [
    ("serving", "serving.__main__"),
    ("serving", "serving.fetch"),
    ("monitoring", "monitoring.collector.__main__"),
]


def locked(name: str) -> set[str]:
    """What a lock pins, such as `numpy==2.4.6`."""
    lines = (REPO / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return {line.split()[0] for line in lines if "==" in line.partition(" ")[0]}


def normal(distribution: str) -> str:
    return re.sub(r"[._-]+", "-", distribution).lower()


@pytest.mark.parametrize("image", ["serving", "monitoring"])
def test_an_image_has_the_versions_that_the_tests_run_on(image: str) -> None:
    assert locked(image)
    assert locked(image) <= locked("runtime")


@pytest.mark.parametrize(("image", "entry_point"), ENTRY_POINTS)
def test_an_image_has_all_that_its_entry_point_imports(image: str, entry_point: str) -> None:
    distributions = metadata.packages_distributions()
    imported = packages_behind(entry_point)
    assert imported
    held = {pin.partition("==")[0] for pin in locked(image)}
    missing = {package for package in imported if not held & {normal(name) for name in distributions[package]}}
    assert not missing, f"add what provides them to the group {image} in pyproject.toml and run `make lock`"


def packages_behind(entry_point: str) -> set[str]:
    """The packages that a module imports, and the modules of ours behind it, when they load or later."""
    found, seen, waiting = set(), set(), [entry_point]
    while waiting:
        module = waiting.pop()
        if module in seen or (path := source(module)) is None:
            continue
        seen.add(module)
        for name in imports(ast.parse(path.read_text(encoding="utf-8"))):
            (waiting if name.partition(".")[0] in OWN else []).append(name)
            found.add(name.partition(".")[0])
    return found - set(OWN) - sys.stdlib_module_names


def source(module: str) -> Path | None:
    path = REPO / module.replace(".", "/")
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


def imports(tree: ast.AST) -> Iterator[str]:
    """The names that are imported but for type checking; `from a import b` may mean the module `a.b`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield from imports(node)
