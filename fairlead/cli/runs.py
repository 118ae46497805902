"""Commands that run a pipeline."""

import shutil
import sys
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from fairlead.adapters.prefork import preforked
from fairlead.cli.progress import ConsoleProgress
from fairlead.home import as_typed, lock_home
from fairlead.report.summary import Summary
from fairlead.report.view import endpoint_remark
from fairlead.settings import Settings, find_repo, of_command
from fairlead.spec.load import load_specs

if TYPE_CHECKING:
    from fairlead.demo.flow import Flow
    from fairlead.lineage.record import Plan
    from fairlead.spec import ModelSpec


def run_demo(
    name: str, home: Path, day: date, days: int, console: Console, *, quick: bool = False, a_month: bool = True
) -> bool:
    """The whole loop; returns whether the model was accepted."""
    with lock_home(home), preforked() as python:
        console.print(f"[bold]Fairlead[/] runs the loop on a year of flights, as if it were {day}\n", highlight=False)
        flow, progress = _flow(name, home, day, console, python)
        if quick:
            flow.model = _smaller(flow.model)
        with progress.running():
            version, record, docs = flow.train(flow.plan())
            result = canary = month = None
            champion = version
            if record.accepted:
                result = flow.replay(version, record, days)
                champion = flow.promote(version)
                canary = flow.canary(version, result, quick=quick)
                month = flow.month(version) if a_month else None
            path, summary = flow.report(version, record, docs, result, canary, month)
        _print_end(path, summary, record.refusals, console)
        if champion != version:
            console.print(f"{champion.model}@{champion.version} stays the champion", highlight=False)
        return record.accepted


def _smaller(model: "ModelSpec") -> "ModelSpec":
    """Less of the search and of the past: fewer trials, on fewer folds, of the candidate that is fitted fastest."""
    tuning = model.tuning.model_copy(
        update={"trials": 3, "folds": 1, "candidates": {"logistic": model.tuning.candidates["logistic"]}}
    )
    split = model.split.model_copy(update={"train_days": min(model.split.train_days, 28)})
    return model.model_copy(update={"tuning": tuning, "split": split})


def run_training(name: str, home: Path, day: date, console: Console) -> bool:
    """The pipeline and the report; returns whether the model was accepted."""
    with lock_home(home), preforked() as python:
        flow, progress = _flow(name, home, day, console, python)
        with progress.running():
            version, record, docs = flow.train(flow.plan())
            path, summary = flow.report(version, record, docs, None)
        _print_end(path, summary, record.refusals, console)
        return record.accepted


def run_again(name: str, home: Path, console: Console) -> bool:
    """Train a version again from its record; returns whether the model is the same to the byte."""
    from fairlead.adapters.mlflow import MlflowRegistry
    from fairlead.cli.show import find_version
    from fairlead.demo.flow import Flow
    from fairlead.lineage.code import code_version, lock_hash
    from fairlead.settings import laptop

    repo = find_repo()
    settings = of_command(home, repo)
    registry = MlflowRegistry(settings)
    version = find_version(registry, name)
    with lock_home(home), preforked() as python:
        record = registry.record(version)
        for what, then, now in (
            ("code", record.plan.code_version, code_version(repo)),
            ("environment", record.lock, lock_hash(repo)),
        ):
            if then != now:
                console.print(
                    f"[yellow]the {what} was {then} and is {now}: check out {record.git_commit} to have it[/]"
                )
        # Steps are cached by the version of the code in the plan: a folder of its own for the code that runs now.
        scratch = home / "reproduce" / f"{version.model}-{version.version}" / code_version(repo)
        plan = _with_champion(record.plan, settings, laptop(scratch, repo))
        progress = ConsoleProgress(console)
        flow = Flow(
            home=scratch,
            settings=laptop(scratch, repo),
            repo=repo,
            dataset=record.plan.dataset,
            model=record.spec,
            as_of=datetime.fromisoformat(record.plan.as_of),
            progress=progress,
            titles=step_titles(repo),
            python=python,
        )
        with progress.running():
            _, again, _ = flow.train(plan)
    return _print_comparison(record.bundle.files, again.bundle.files, console)


def _with_champion(plan: "Plan", settings: Settings, scratch: Settings) -> "Plan":
    """Bring the bundle that the plan names as champion, under a name that no version of an empty registry can get."""
    from fairlead.adapters.bundles import open_bundles
    from fairlead.packaging.bundle import release_bundle

    if not plan.champion:
        return plan
    name = f"original-{plan.champion}"
    released = open_bundles(settings.bundles_uri).folder(plan.model.name, plan.champion)
    release_bundle(released, Path(scratch.bundles_uri, plan.model.name, name), plan.champion)
    return plan.model_copy(update={"champion": name})


def publish_features(name: str, home: Path, console: Console) -> None:
    """Replace what is online by the features of a version's run."""
    from fairlead.adapters.feast import FeastFeatures
    from fairlead.adapters.mlflow import MlflowRegistry
    from fairlead.cli.show import find_version

    settings = of_command(home, find_repo())
    registry = MlflowRegistry(settings)
    version = find_version(registry, name)
    with lock_home(home):
        record = registry.record(version)
        as_of = datetime.fromisoformat(record.plan.as_of)
        store = FeastFeatures(settings, record.bundle.dataset)
        written = store.publish(record.bundle.feature_service, record.versions, None, as_of)
    console.print(f"{written:,} rows are online, as known by {as_of.isoformat()}", highlight=False)


def _flow(name: str, home: Path, day: date, console: Console, python: str) -> "tuple[Flow, ConsoleProgress]":
    repo = find_repo()
    progress = ConsoleProgress(console)
    progress.begin("start", "Starting")
    from fairlead.demo.flow import Flow, as_of_date

    model, dataset = load_specs(repo, name)
    flow = Flow(
        home=home.resolve(),
        settings=of_command(home, repo),
        repo=repo,
        dataset=dataset,
        model=model,
        as_of=as_of_date(day, dataset),
        progress=progress,
        titles=step_titles(repo),
        program=_program(),
        python=python,
    )
    return flow, progress


def _program() -> str:
    """What a user types to call this command: its name, or where it is if the name is not on the PATH."""
    called, found = sys.argv[0], shutil.which("fairlead")
    return "fairlead" if found and Path(found).absolute() == Path(called).absolute() else called


def step_titles(repo: Path) -> dict[str, str]:
    """Task → display name, from the compiled pipelines."""
    import yaml

    titles = {}
    for path in sorted((repo / "pipelines" / "compiled").glob("*.yaml")):
        package = next(
            yaml.load_all(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        )
        for part in (package["root"], *package["components"].values()):
            for task, spec in part.get("dag", {}).get("tasks", {}).items():
                titles[task] = spec["taskInfo"]["name"]
    return titles


def _print_end(path: Path, summary: Summary, refusals: list[str], console: Console) -> None:
    _print_figures(summary, console)
    console.print(f"\nreport  [bold]{as_typed(path)}[/]", highlight=False)
    for command in summary.next:
        console.print(f"next    [cyan]{command.command}[/]  [dim]{command.does}[/]", highlight=False)
    print_refusals(refusals, console)


def _print_figures(summary: Summary, console: Console) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    auc = summary.evaluation.metric("roc_auc")
    if auc is not None:
        table.add_row("ROC AUC, test period", f"[bold]{auc.value:.3f}[/] [{auc.low:.3f}, {auc.high:.3f}]")
    for baseline in summary.evaluation.baselines:
        if baseline.metric == "roc_auc":
            table.add_row(f"  against {baseline.name}", f"{baseline.value:.3f}")
    if summary.replay is not None:
        replay = summary.replay
        table.add_row(
            "ROC AUC, endpoint", f"[bold]{replay.roc_auc:.3f}[/] [{replay.roc_auc_low:.3f}, {replay.roc_auc_high:.3f}]"
        )
        table.add_row("  flights asked about", f"{replay.answered:,} of {replay.requests:,}")
        table.add_row("  median latency", f"{replay.latency_p50_ms:.1f} ms")
    if summary.month is not None:
        for policy in summary.month.policies:
            label = "ROC AUC, the month after" if policy.name == "static" else "  watched and retrained"
            table.add_row(label, f"{policy.mean:.3f}")
    if summary.bundle is not None and summary.bundle.parity is not None:
        table.add_row("ONNX against fitted", f"|Δ| ≤ {summary.bundle.parity.max_abs:.1e}")
    passed = sum(gate.passed for gate in summary.evaluation.gates)
    table.add_row("gates", f"{passed} of {len(summary.evaluation.gates)} passed")
    table.add_row(
        "version", f"{summary.run.model}@{summary.run.version} ({', '.join(summary.registry.aliases) or 'no alias'})"
    )
    table.add_row("time", f"{summary.run.seconds:.0f} s")
    console.print()
    console.print(table, highlight=False)
    if remark := endpoint_remark(summary):
        console.print(f"\n{remark}", highlight=False)


def print_refusals(refusals: list[str], console: Console) -> None:
    """Why the gates refused a model, a line each."""
    for refusal in refusals:
        console.print(f"[red]refused[/] {refusal}", highlight=False)


def _print_comparison(then: dict[str, str], now: dict[str, str], console: Console) -> bool:
    for name, digest in then.items():
        same = now.get(name) == digest
        verdict = "[green]identical[/]" if same else f"[red]differs[/], now {now.get(name)}"
        console.print(f"{name}  {digest}  {verdict}", highlight=False)
    return then == now
