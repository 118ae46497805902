"""`release.yaml`: read with line and rule, written without losing a comment."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from fairlead.errors import RolloutError, SpecError
from fairlead.files import write_whole
from fairlead.rollout.document import EXPECTED, KIND, LOCAL, MEND, ReleaseDocument
from fairlead.rollout.release import Release, written
from fairlead.rollout.serve import serve_of
from fairlead.spec.environment import EnvironmentSpec
from fairlead.spec.load import load_document, load_text

SCHEMA = "docs/reference/schemas/release.json"
FILE = "release.yaml"


def release_path(environment: str, model: str) -> Path:
    """Where the document of a model in an environment is, from the root of the repository."""
    return Path("manifests/envs") / environment / model / FILE


def read_release(path: Path, environment: EnvironmentSpec) -> Release:
    """Read one document.

    Raises:
        RolloutError: one line a problem, with file, line, rule and value; also if `serve` does not follow from `spec`.
    """
    try:
        return load_document(path, ReleaseDocument, _expecting(environment)).spec
    except SpecError as error:
        raise RolloutError(str(error)) from None


def parse_release(text: str, path: Path, environment: EnvironmentSpec) -> Release:
    """Read a document that is at hand as text, such as that of a commit; `path` is what errors call it.

    Raises:
        RolloutError: as `read_release`.
    """
    try:
        return load_text(text, path, ReleaseDocument, _expecting(environment)).spec
    except SpecError as error:
        raise RolloutError(str(error)) from None


def mend_release(text: str, path: Path, environment: EnvironmentSpec) -> str:
    """The document with the `serve` that follows from its `spec`; the same text if it has it.

    Raises:
        RolloutError: as `read_release`, but for `serve`.
    """
    try:
        release = load_text(text, path, ReleaseDocument, {MEND: True}).spec
    except SpecError as error:
        raise RolloutError(str(error)) from None
    return render_release(release, environment, text)


def render_release(release: Release, environment: EnvironmentSpec, text: str = "") -> str:
    """The document as YAML, in `text`'s order and with its comments; only what differs is another.

    Keys of `spec` that `text` does not have are added behind the key they follow in the schema, unless they hold the
    default. `serve` is written as a whole where it differs. A document of its own begins with the name of its schema.
    """
    old = _yaml().load(text) if text else None
    tree = old if isinstance(old, CommentedMap) else CommentedMap()
    metadata = {"name": release.model, "annotations": {LOCAL: "true"}}
    document = ReleaseDocument.model_validate({**KIND, "metadata": metadata, "spec": release})
    _update(tree, document.model_dump(mode="json", by_alias=True, exclude={"spec", "serve"}), {})
    spec = tree.setdefault("spec", CommentedMap())
    _update(spec, release.model_dump(mode="json"), _defaults())
    serve = serve_of(release, environment).model_dump(mode="json", by_alias=True)
    if tree.get("serve") != serve:
        tree["serve"] = _merged(tree.get("serve"), serve)
    head = f"# yaml-language-server: $schema={'../' * 4}{SCHEMA}\n" if tree is not old else ""
    return head + _dump(tree)


def write_release(path: Path, release: Release, environment: EnvironmentSpec) -> None:
    """Write the document in one step: a reader sees the old or the new one.

    Raises:
        RolloutError: the folder cannot be written.
    """
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        write_whole(path, render_release(release, environment, text), durable=True)
    except OSError as error:
        raise RolloutError(f"{path}: cannot be written: {error.strerror}") from None


def _expecting(environment: EnvironmentSpec) -> Mapping[str, Any]:
    return {EXPECTED: partial(serve_of, environment=environment)}


def _dump(tree: Mapping[str, Any]) -> str:
    out = StringIO()
    _yaml().dump(tree, out)
    return out.getvalue()


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
