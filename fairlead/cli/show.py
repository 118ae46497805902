"""Commands that look into the registry."""

import sys
from typing import TYPE_CHECKING

from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from fairlead.adapters.mlflow import CHAMPION, MlflowRegistry, RegisteredVersion
from fairlead.errors import RegistryError
from fairlead.settings import Settings

if TYPE_CHECKING:
    from fairlead.lineage.record import RunRecord


def find_version(registry: MlflowRegistry, name: str) -> RegisteredVersion:
    """`model@version`, `model@alias`, or `model`: its champion, else its newest accepted version.

    Raises:
        RegistryError: there is none.
    """
    model, _, version = name.partition("@")
    if version:
        return registry.resolve(model, version)
    versions = registry.versions(model)
    accepted = [item for item in versions if item.status == "accepted"]
    champions = [item for item in accepted if CHAMPION in item.aliases]
    if not accepted:
        raise RegistryError(f"every version of {model} was refused by its gates; name one to see it: {model}@1")
    return (champions or accepted)[0]


def list_models(settings: Settings, console: Console, json_output: bool) -> None:
    """All versions of all models, newest first."""
    registry = MlflowRegistry(settings)
    versions = [version for model in registry.models() for version in registry.versions(model)]
    if json_output:
        sys.stdout.write(TypeAdapter(list[RegisteredVersion]).dump_json(versions, indent=2).decode() + "\n")
        return
    if not versions:
        console.print("no versions yet; train one: fairlead run <model>")
        return
    table = Table("version", "status", "aliases", "why")
    for item in versions:
        table.add_row(f"{item.model}@{item.version}", item.status, ", ".join(item.aliases), "; ".join(item.reasons))
    console.print(table)


def show_version(name: str, settings: Settings, console: Console, json_output: bool) -> None:
    """Everything that made a version."""
    registry = MlflowRegistry(settings)
    version = find_version(registry, name)
    record = registry.record(version)
    if json_output:
        sys.stdout.write(record.model_dump_json(indent=2) + "\n")
        return
    console.print(f"[bold]{version.model}@{version.version}[/]  {version.status}  {', '.join(version.aliases)}")
    for title, rows in _sections(record, version).items():
        console.print(f"\n[bold]{title}[/]")
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 2))
        for row in rows:
            table.add_row(*row)
        console.print(table, highlight=False)


def _sections(record: "RunRecord", version: RegisteredVersion) -> dict[str, list[tuple[str, str]]]:
    plan, training, found = record.plan, record.training, record.evaluation
    metrics = [(name, f"{item.value:.4f} [{item.low:.4f}, {item.high:.4f}]") for name, item in found.metrics.items()]
    return {
        "Made from": [
            ("as of", plan.as_of),
            ("code", f"{plan.code_version}, Git commit {record.git_commit}"),
            ("environment", record.lock),
            ("compared with", f"version {plan.champion}" if plan.champion else "no champion"),
            ("MLflow run", version.run_id),
        ],
        "Sources": [
            (table.name, f"{table.source}  sha256 {table.sha256}  {table.rows:,} rows") for table in record.tables
        ],
        "Tables": [(name, f"version {number}") for name, number in record.versions.items()],
        "Periods": [
            (item.name, f"{item.rows:,} rows asked {item.start} to {item.end}, {item.positive_share:.1%} positive")
            for item in record.periods
        ],
        "Model": [
            ("candidate", f"{training.candidate}, best of {len(training.trials)} trials"),
            *((f"  {name}", str(value)) for name, value in training.params.items()),
            ("seed", str(record.spec.tuning.seed)),
            ("threshold", f"{training.threshold:.4f}"),
            *((name, f"sha256 {digest}") for name, digest in record.bundle.files.items()),
        ],
        "Test period": metrics,
        "Gates": [(("passed" if gate.passed else "FAILED"), f"{gate.rule}: {gate.reason}") for gate in found.gates],
    }
