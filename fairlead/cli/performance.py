"""`fairlead performance`: how the versions do that serve."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.settings import DEFAULT_HOME, find_repo, of_command

if TYPE_CHECKING:
    from rich.console import Console

    from fairlead.performance.watch import Performance


def performance(
    model: Annotated[str, typer.Argument(help="The model.")],
    home: Annotated[
        Path, typer.Option(help="The folder that holds everything a run writes.", envvar="FAIRLEAD_HOME")
    ] = Path(DEFAULT_HOME),
    at: Annotated[str | None, typer.Option(help="As known at this instant, with an offset.  [default: now]")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Join the labels that have arrived to the records, and measure each version on its last days.

    A request is joined by its id: it must be the row's primary key, joined by `-`. What is found is also told to
    what is scraped.
    """
    from rich.console import Console

    from fairlead.adapters.delta_records import DeltaRecords
    from fairlead.adapters.result_files import ResultFiles
    from fairlead.errors import FairleadError
    from fairlead.monitors.results import keep_failure, succeeded
    from fairlead.performance.source import label_rows
    from fairlead.performance.watch import figures, look
    from fairlead.spec.load import load_specs

    repo = find_repo()
    settings = of_command(home, repo)
    spec, dataset = load_specs(repo, model)
    now, results = _instant(at), ResultFiles(settings.tables_uri)
    since = now - spec.performance.window - spec.performance.longest_delay
    try:
        records = DeltaRecords(settings.tables_uri).read(model, since.date(), now.date())
        labels = label_rows(settings, spec, dataset)
        found = look(records, labels.filter(labels.known_at <= now).to_pandas(), spec, dataset.timezone, now)
    except FairleadError as error:
        keep_failure(results, model, "performance", error)
        raise
    results.write(succeeded(model, "performance", figures(model, found)))
    if json_output:
        from pydantic import TypeAdapter

        from fairlead.performance.watch import Performance

        sys.stdout.write(TypeAdapter(Performance).dump_json(found, indent=2).decode() + "\n")
        return
    _print(found, Console(soft_wrap=True))


def _instant(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"--at must be an instant such as 2013-04-01T00:00-04:00, but is {text!r}") from None
    if moment.tzinfo is None:
        raise typer.BadParameter(f"--at must have an offset, such as 2013-04-01T00:00-04:00, but is {text!r}")
    return moment.astimezone(UTC)


def _print(found: "Performance", console: "Console") -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("version", "known", "awaited", "overdue", "early", "ROC AUC", "promised", "log loss", "changes"):
        table.add_column(name)
    for item in found.versions:
        auc = item.live.metrics["roc_auc"] if item.live else None
        table.add_row(
            item.version,
            *(f"{count:,}" for count in item.labels.values()),
            f"{auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}]" if auc else "too few labels",
            f"{item.decay.promised:.3f}" + (" (decay)" if item.decay.decayed else "") if item.decay else "",
            f"{item.live.metrics['log_loss'].value:.3f}" if item.live else "",
            ", ".join(change.detector for change in item.changes if change.changed) or "none",
        )
    console.print(table, highlight=False)
    if not found.versions:
        console.print("no records in these days")
    if found.conflicting:
        console.print(f"{found.conflicting:,} predictions have a label that was corrected", highlight=False)
