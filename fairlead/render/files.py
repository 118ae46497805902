"""Files that are made from specs and code, and committed so that they can be read."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from fairlead.errors import PipelineError
from fairlead.render.alerts import Context
from fairlead.render.argocd import ARGOCD, SETTINGS, argocd_files
from fairlead.render.dashboards import DASHBOARDS, dashboard_files
from fairlead.render.documents import MARK
from fairlead.render.manifests import manifests
from fairlead.render.manifests.tree import ROOT as MANIFESTS
from fairlead.render.pipelines import pipeline_manifests
from fairlead.render.rules import RULES, rule_files
from fairlead.rollout.document import ReleaseDocument
from fairlead.spec import DatasetSpec, ModelSpec, load_model
from fairlead.spec._base import Spec
from fairlead.spec.environment import EnvironmentSpec, ImagesSpec, ScaleSpec
from fairlead.spec.load import load_document
from fairlead.spec.platform import ClusterSettings, PlatformSpec
from fairlead.spec.steps import StepsSpec

SCHEMAS = Path("docs/reference/schemas")
COMMANDS = Path("docs/reference/commands.md")
COMPILED = Path("pipelines/compiled")
PLACES = (
    (SCHEMAS, "*.json", ""),
    (COMPILED, "*.yaml", ""),
    (MANIFESTS, "**/*.yaml", MARK),
    (ARGOCD, "**/*.yaml", MARK),
    (RULES, "**/*.yaml", MARK),
    (DASHBOARDS, "*.json", ""),
)
"""Where rendered files are, and how they begin."""
SCHEMA_OF: dict[str, type[Spec]] = {
    "dataset": DatasetSpec,
    "model": ModelSpec,
    "environment": EnvironmentSpec,
    "images": ImagesSpec,
    "scale": ScaleSpec,
    "release": ReleaseDocument,
    "steps": StepsSpec,
    "cluster": ClusterSettings,
    "platform": PlatformSpec,
}


def render_all(repo: Path, *, write: bool) -> tuple[list[str], list[str]]:
    """Render everything; returns the files that are (or were) not up to date, and those that no spec makes any more,
    relative to the repository. Those are deleted."""
    compiled = pipelines(repo)
    made = {**schemas(), **commands(), **compiled, **applied(repo, compiled.values()), **rules(repo)}
    stale, orphans = compare(repo, made)
    if write:
        mend(repo, made)
    return [str(path) for path in stale], [str(path) for path in orphans]


def compare(repo: Path, made: Mapping[Path, str]) -> tuple[list[Path], list[Path]]:
    """The files that differ from what was made, and those that look like ours and were not made."""
    stale = [path for path, content in made.items() if _text(repo / path) != content]
    return stale, sorted(path for path in _rendered(repo, made) if path not in made)


def mend(repo: Path, made: Mapping[Path, str]) -> None:
    """Write what was made, and delete what was not."""
    stale, orphans = compare(repo, made)
    for path in stale:
        (repo / path).parent.mkdir(parents=True, exist_ok=True)
        (repo / path).write_text(made[path], encoding="utf-8")
    for path in orphans:
        (repo / path).unlink()
        with suppress(OSError):  # not empty
            (repo / path).parent.rmdir()


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _rendered(repo: Path, made: Iterable[Path]) -> Iterator[Path]:
    """All files that look like ours, in the places of what was made."""
    for folder, pattern, mark in PLACES:
        if any(path.is_relative_to(folder) for path in made):
            for path in (repo / folder).glob(pattern):
                if path.read_text(encoding="utf-8").startswith(mark):
                    yield path.relative_to(repo)


def applied(repo: Path, compiled: Iterable[str]) -> dict[Path, str]:
    """All that Argo CD reads and applies.

    Args:
        repo: the checkout.
        compiled: the pipelines, as the compiler wrote them.

    Raises:
        PipelineError: the library that writes dashboards is not installed.
    """
    dashboards = dashboard_files(_models(repo))
    return {**manifests(repo), **dashboards, **pipeline_manifests(repo, compiled), **argocd_files(repo)}


def rules(repo: Path) -> dict[Path, str]:
    """Rules of a Prometheus that the operator does not run."""
    context = Context(load_document(repo / SETTINGS, ClusterSettings).runbooks_url)
    return rule_files(context, _models(repo))


def _models(repo: Path) -> dict[str, ModelSpec]:
    return {path.stem: load_model(path) for path in sorted((repo / "pipelines/models").glob("*.yaml"))}


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
