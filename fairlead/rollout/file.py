"""`release.yaml`: read with line and rule, written without losing a comment."""

import os
import tempfile
from collections.abc import Mapping
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from fairlead.errors import RolloutError, SpecError
from fairlead.rollout.release import Release, written
from fairlead.spec.load import load_document, load_text

SCHEMA = "docs/reference/schemas/release.json"
FILE = "release.yaml"


def release_path(environment: str, model: str) -> Path:
    """Where the document of a model in an environment is, from the root of the repository."""
    return Path("manifests/envs") / environment / model / FILE


def read_release(path: Path) -> Release:
    """Read one document.

    Raises:
        RolloutError: one line a problem, with file, line, rule and value.
    """
    try:
        return load_document(path, Release)
    except SpecError as error:
        raise RolloutError(str(error)) from None


def parse_release(text: str, path: Path) -> Release:
    """Read a document that is at hand as text, such as that of a commit; `path` is what errors call it.

    Raises:
        RolloutError: as `read_release`.
    """
    try:
        return load_text(text, path, Release)
    except SpecError as error:
        raise RolloutError(str(error)) from None


def render_release(release: Release, text: str = "") -> str:
    """The document as YAML, in `text`'s order and with its comments; only what differs is another.

    Keys that `text` does not have are added behind the key they follow in the schema, unless they hold the default.
    A document of its own begins with the name of its schema.
    """
    yaml = _yaml()
    tree = yaml.load(text) if text else None
    fresh = not isinstance(tree, CommentedMap)
    if fresh:
        tree = CommentedMap()
    _update(tree, release.model_dump(mode="json"), _defaults())
    out = StringIO()
    yaml.dump(tree, out)
    head = f"# yaml-language-server: $schema={'../' * 4}{SCHEMA}\n" if fresh else ""
    return head + out.getvalue()


def write_release(path: Path, release: Release) -> None:
    """Write the document in one step: a reader sees the old or the new one.

    Raises:
        RolloutError: the folder cannot be written.
    """
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            file.write(render_release(release, text))
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).chmod(0o644)
        Path(file.name).replace(path)
    except OSError as error:
        raise RolloutError(f"{path}: cannot be written: {error.strerror}") from None


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.representer.add_representer(type(None), lambda to, _: to.represent_scalar("tag:yaml.org,2002:null", "null"))
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _defaults() -> dict[str, Any]:
    return {name: field.default for name, field in Release.model_fields.items() if not field.is_required()}


def _update(tree: Any, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Nothing is deleted: a comment belongs to the key before it, and would go with that."""
    place = 0
    for key, value in values.items():
        if key in tree:
            tree[key] = _merged(tree[key], value)
            place = list(tree).index(key) + 1
        elif key not in defaults or value != defaults[key] or key in _ALWAYS:
            tree.insert(place, key, value)
            place += 1


_ALWAYS = frozenset({"revision", "stage", "strategy", "candidate", "weight", "mirror"})
"""Written even where they hold the default: what a reader looks for."""


def _merged(old: Any, new: Any) -> Any:
    """The old node where it says the same, with what is new in it where it is a part of that."""
    if isinstance(old, datetime):
        return old if written(old) == new else new
    if isinstance(old, dict) and isinstance(new, dict) and set(old) <= set(new):
        _update(old, new, {})
        return old
    if isinstance(old, list) and isinstance(new, list) and len(old) <= len(new):
        for index, item in enumerate(new):
            if index >= len(old):
                old.append(item)
            elif (merged := _merged(old[index], item)) is not old[index]:
                old[index] = merged
        return old
    return old if old == new else new
