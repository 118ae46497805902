"""Reads spec files; every problem is told with its file, line, path of keys, rule and value."""

from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from fairlead.errors import SpecError
from fairlead.spec.dataset import DatasetSpec, nearest
from fairlead.spec.environment import EnvironmentSpec
from fairlead.spec.model import ModelSpec

AnySpec = TypeVar("AnySpec", bound=BaseModel)


def load_dataset(path: Path) -> DatasetSpec:
    """Read one `dataset.yaml`.

    Raises:
        SpecError: one line a problem.
    """
    return _load(path, DatasetSpec, expected_name=path.parent.name)


def load_model(path: Path) -> ModelSpec:
    """Read one model file.

    Raises:
        SpecError: one line a problem.
    """
    return _load(path, ModelSpec, expected_name=path.stem)


def load_environment(path: Path) -> EnvironmentSpec:
    """Read one `environment.yaml`.

    Raises:
        SpecError: one line a problem.
    """
    return _load(path, EnvironmentSpec, expected_name=path.parent.name)


def load_specs(repo: Path, name: str) -> tuple[ModelSpec, DatasetSpec]:
    """Read a model file, and the dataset it names.

    Raises:
        SpecError: there is no such model, or one line a problem.
    """
    path = repo / "pipelines" / "models" / f"{name}.yaml"
    if not path.exists():
        known = [file.stem for file in path.parent.glob("*.yaml")]
        raise SpecError(f"there is no model {name!r}" + nearest(name, known))
    model = load_model(path)
    return model, load_dataset(repo / "feature_repo" / model.dataset / "dataset.yaml")


def load_document(path: Path, kind: type[AnySpec], context: Mapping[str, Any] | None = None) -> AnySpec:
    """Read one YAML document of any kind, whatever its file is called.

    Args:
        path: the file.
        kind: what it must be.
        context: what the kind's validators compare it with.

    Raises:
        SpecError: one line a problem.
    """
    return _validate(path, kind, _parse(path), context)


def load_text(text: str, path: Path, kind: type[AnySpec], context: Mapping[str, Any] | None = None) -> AnySpec:
    """Read one YAML document that is at hand as text, such as a file of another commit.

    Args:
        text: the document.
        path: what errors call it.
        kind: what it must be.
        context: what the kind's validators compare it with.

    Raises:
        SpecError: one line a problem.
    """
    return _validate(path, kind, _parse_text(path, text), context)


def _load(path: Path, kind: type[AnySpec], expected_name: str) -> AnySpec:
    tree = _parse(path)
    spec = _validate(path, kind, tree)
    name = getattr(spec, "name", None)
    if name != expected_name:
        raise SpecError(
            f"{path}:{_line(tree, ('name',))}: name must be {expected_name!r} like its place, but is {name!r}"
        )
    return spec


def _validate(path: Path, kind: type[AnySpec], tree: Any, context: Mapping[str, Any] | None = None) -> AnySpec:
    try:
        return kind.model_validate(tree, context=context)
    except ValidationError as error:
        raise SpecError("\n".join(_explain(path, kind, tree, detail) for detail in error.errors())) from None


def _parse(path: Path) -> Any:
    try:
        return _parse_text(path, path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(f"{path}: there is no such file") from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}:1: is not YAML: {error}") from None


def _parse_text(path: Path, text: str) -> Any:
    try:
        tree = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpecError(f"{path}:{line}: is not YAML: {error.problem}") from None
    except YAMLError as error:
        raise SpecError(f"{path}:1: is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        kind = "empty" if tree is None else "a list" if isinstance(tree, list) else repr(tree)
        raise SpecError(f"{path}:1: must be a mapping of keys to values, but is {kind}")
    return tree


def _explain(path: Path, kind: type[BaseModel], tree: Any, detail: ErrorDetails) -> str:
    keys = _keys_in_file(tree, detail["loc"])
    message = detail["msg"]
    if detail["type"] == "value_error":
        keys, message = _narrow(tree, keys, str(detail["ctx"]["error"]))
    where = f"{path}:{_line(tree, keys)}: {'.'.join(map(str, keys)) or 'the file'}"
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown key" + _nearest(str(keys[-1]), _fields_at(kind, keys[:-1]))
    if detail["type"] == "missing":
        return (
            f"{where}.{detail['loc'][-1]}: is required, but missing"
            if keys
            else f"{where}: {detail['loc'][-1]} is required, but missing"
        )
    if detail["type"] == "value_error":
        return f"{where}: {message}"
    if detail["type"] == "literal_error":
        allowed = [part.strip(" '") for part in detail["ctx"]["expected"].replace(" or ", ",").split(",")]
        near = get_close_matches(str(detail["input"]), allowed, n=1)
        return f"{where}: must be one of {', '.join(allowed)}, but is {detail['input']!r}" + (
            f"; did you mean {near[0]!r}?" if near else ""
        )
    return f"{where}: {message[0].lower()}{message[1:]}, but is {detail['input']!r}"


def _narrow(tree: Any, keys: tuple[int | str, ...], message: str) -> tuple[tuple[int | str, ...], str]:
    """A validator that looks at a whole names the part it means in its first word: `expectations.0 names ...`."""
    words, _, rest = message.partition(" ")
    parts = [int(part) if part.isdigit() else part for part in words.rstrip(":").split(".")]
    found = _keys_in_file(tree, (*keys, *parts))
    return (found, rest) if len(found) == len(keys) + len(parts) else (keys, message)


def _keys_in_file(tree: Any, loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The part of pydantic's location that is in the file: it also names union members and dict keys."""
    keys: list[int | str] = []
    node = tree
    for part in loc:
        inside = isinstance(part, int) and isinstance(node, list) and part < len(node)
        if inside or (isinstance(node, dict) and part in node):
            node = node[part]
            keys.append(part)
    return tuple(keys)


def _line(tree: Any, keys: tuple[int | str, ...]) -> int:
    line: int = 0
    node: Any = tree
    for key in keys:
        with suppress(KeyError, TypeError):  # a key merged in with `<<` has no line of its own
            line = (node.lc.item if isinstance(key, int) else node.lc.key)(key)[0]
        node = node[key]
    return line + 1


def _fields_at(kind: type[BaseModel], keys: tuple[int | str, ...]) -> list[str]:
    """The keys that a spec allows under a path of keys."""
    kinds: list[Any] = [kind]
    for key in keys:
        kinds = [inner for outer in kinds for inner in _step(outer, key)]
    return sorted({name for item in kinds if _is_model(item) for name in _by_key(item)})


def _step(kind: Any, key: int | str) -> list[Any]:
    if _is_model(kind):
        field = _by_key(kind).get(str(key))
        return _members(field.annotation) if field else []
    if get_origin(kind) is dict:
        return _members(get_args(kind)[1])
    if get_origin(kind) is list:
        return _members(get_args(kind)[0])
    return []


def _by_key(kind: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields by their keys in a file: a document of Kubernetes has camelCase."""
    return {field.alias or name: field for name, field in kind.model_fields.items()}


def _members(kind: Any) -> list[Any]:
    if get_origin(kind) in (Union, UnionType):
        return [member for part in get_args(kind) for member in _members(part)]
    if hasattr(kind, "__metadata__"):
        return _members(get_args(kind)[0])
    return [kind]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _nearest(name: str, allowed: list[str]) -> str:
    near = get_close_matches(name, allowed, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; allowed: {', '.join(allowed)}" if allowed else ""
