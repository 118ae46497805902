"""Files that are made from specs and code, and committed so that they can be read."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from fairlead.errors import PipelineError
from fairlead.render.manifests import manifests
from fairlead.render.manifests.objects import MARK
from fairlead.render.manifests.tree import ROOT as MANIFESTS
from fairlead.rollout.document import ReleaseDocument
from fairlead.spec import DatasetSpec, ModelSpec
from fairlead.spec._base import Spec
from fairlead.spec.environment import EnvironmentSpec, ImagesSpec, ScaleSpec

SCHEMAS = Path("docs/reference/schemas")
COMMANDS = Path("docs/reference/commands.md")
COMPILED = Path("pipelines/compiled")
SCHEMA_OF: dict[str, type[Spec]] = {
    "dataset": DatasetSpec,
    "model": ModelSpec,
    "environment": EnvironmentSpec,
    "images": ImagesSpec,
    "scale": ScaleSpec,
    "release": ReleaseDocument,
}


def render_all(repo: Path, *, write: bool) -> tuple[list[str], list[str]]:
    """Render everything; returns the files that are (or were) not up to date, and those that no spec makes any more,
    relative to the repository. Those are deleted."""
    made = {**schemas(), **commands(), **pipelines(repo), **manifests(repo)}
    stale = [path for path, content in made.items() if _text(repo / path) != content]
    orphans = sorted(path for path in _rendered(repo) if path not in made)
    if write:
        for path in stale:
            (repo / path).parent.mkdir(parents=True, exist_ok=True)
            (repo / path).write_text(made[path], encoding="utf-8")
        for path in orphans:
            (repo / path).unlink()
    return [str(path) for path in stale], [str(path) for path in orphans]


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _rendered(repo: Path) -> Iterator[Path]:
    """All files that look like ours."""
    for path in (*(repo / SCHEMAS).glob("*.json"), *(repo / COMPILED).glob("*.yaml")):
        yield path.relative_to(repo)
    for path in (repo / MANIFESTS).rglob("*.yaml"):
        if path.read_text(encoding="utf-8").startswith(MARK):
            yield path.relative_to(repo)


def schemas() -> Mapping[Path, str]:
    """JSON schemas of all that people write, for editors."""
    return {
        SCHEMAS / f"{name}.json": json.dumps(kind.model_json_schema(), indent=2) + "\n"
        for name, kind in SCHEMA_OF.items()
    }


def commands() -> Mapping[Path, str]:
    """The reference of the command line, by Typer's own writer."""
    done = subprocess.run(
        [sys.executable, "-m", "typer", "fairlead.cli.app", "utils", "docs", "--name", "fairlead"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "120"},
    )
    return {COMMANDS: done.stdout}


def pipelines(repo: Path) -> Mapping[Path, str]:
    """The compiled pipelines. Compiled in a process of its own: the graphs are above this package.

    Raises:
        PipelineError: a pipeline does not compile.
    """
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "pipelines", folder], cwd=repo, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise PipelineError(f"the pipelines do not compile: {done.stderr.strip()[-2000:]}")
        return {COMPILED / path.name: path.read_text(encoding="utf-8") for path in sorted(Path(folder).glob("*.yaml"))}
