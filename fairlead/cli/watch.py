"""Commands that watch a model."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from fairlead.settings import find_repo, of_command

if TYPE_CHECKING:
    from fairlead.drift.engine import Engine
    from fairlead.spec.drift import DriftSpec


def watch_drift(name: str, as_of: datetime | None, home: Path, console: Console, json_output: bool) -> None:
    """Run the drift job once."""
    from fairlead.adapters.watched import open_stores
    from fairlead.drift.job import describe, run_drift
    from fairlead.spec.load import load_specs

    repo = find_repo()
    model, dataset = load_specs(repo, name)
    moment = as_of.replace(tzinfo=UTC) if as_of else datetime.now(UTC)
    report = run_drift(model, dataset, open_stores(of_command(home, repo)), open_engine(model.drift), moment)
    if json_output:
        sys.stdout.write(report.model_dump_json(indent=2) + "\n")
        return
    for line in describe(report):
        console.print(line, highlight=False, markup=False)


def open_engine(spec: "DriftSpec") -> "Engine":
    """The engine that a model file names."""
    if spec.engine == "alibi":
        from fairlead.adapters.alibi import AlibiEngine

        return AlibiEngine.from_environment()
    from fairlead.drift.engine import OwnEngine

    return OwnEngine()
