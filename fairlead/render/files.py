"""Files that are made from specs and code, and committed so that they can be read."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from fairlead.errors import PipelineError
from fairlead.render.argocd import argocd_files, leftovers
from fairlead.rollout.release import Release
from fairlead.spec import DatasetSpec, ModelSpec
from fairlead.spec._base import Spec
from fairlead.spec.environment import EnvironmentSpec, ImagesSpec, ScaleSpec
from fairlead.spec.platform import ClusterSettings, PlatformSpec

SCHEMAS = Path("docs/reference/schemas")
COMMANDS = Path("docs/reference/commands.md")
COMPILED = Path("pipelines/compiled")
SCHEMA_OF: dict[str, type[Spec]] = {
    "dataset": DatasetSpec,
    "model": ModelSpec,
    "environment": EnvironmentSpec,
    "images": ImagesSpec,
    "scale": ScaleSpec,
    "release": Release,
    "cluster": ClusterSettings,
    "platform": PlatformSpec,
}


def render_all(repo: Path, *, write: bool) -> list[str]:
    """Render everything; returns the files that are (or were) not up to date, relative to the repository."""
    rendered = {**schemas(), **commands(), **pipelines(repo), **argocd_files(repo)}
    stale = [str(path) for path in leftovers(repo, rendered)]
    if write:
        for gone in stale:
            (repo / gone).unlink()
    for path, content in rendered.items():
        target = repo / path
        if target.exists() and target.read_text(encoding="utf-8") == content:
            continue
        stale.append(str(path))
        if write:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content, encoding="utf-8")
    return stale


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
