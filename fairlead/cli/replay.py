"""`fairlead replay`: a range of days lived through again."""

import sys
import warnings
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.settings import DEFAULT_HOME, find_repo

if TYPE_CHECKING:
    from rich.console import Console

    from fairlead.replay.result import Comparison


def replay(
    model: Annotated[str, typer.Argument(help="The model.")],
    first: Annotated[
        datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day; a model is trained as of it.")
    ] = datetime(2013, 3, 1),
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="The last day.")] = datetime(
        2013, 12, 31
    ),
    where: Annotated[str, typer.Option(help="Only rows with these values: `origin=LGA,EWR`.")] = "",
    home: Annotated[
        Path, typer.Option(help="The folder that holds everything a run writes.", envvar="FAIRLEAD_HOME")
    ] = Path(DEFAULT_HOME),
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Live through a range of days again: does the platform notice, retrain and keep the quality?

    Day by day the champion scores the day's rows, labels arrive, the watch looks, the brakes answer, and what they let
    through is trained as of that evening. Beside it: a model left alone, one retrained each month, and one retrained by
    the calendar as often as the platform did. Killed, the same command goes on where it was.
    """
    from rich.console import Console

    from fairlead.home import lock_home
    from fairlead.replay.run import make_plan, run_replay
    from fairlead.spec.load import load_specs

    console = Console(file=sys.stderr if json_output else sys.stdout, soft_wrap=True)
    repo = find_repo()
    spec, dataset = load_specs(repo, model)
    with lock_home(home), console.status("replay") as status:
        plan = make_plan(
            (home / "replay-year").resolve(), repo, spec, dataset, first.date(), last.date(), _where(where)
        )
        with warnings.catch_warnings(record=True):  # of libraries about each other
            found = run_replay(plan, lambda text: status.update(f"replay  [dim]{text}[/]"))
        picture = _write(found, plan.folder)
    if json_output:
        sys.stdout.write(found.model_dump_json(indent=2) + "\n")
        return
    _print(found, console)
    console.print(f"\npicture  [bold]{picture}[/]", highlight=False)


def _where(text: str) -> tuple[str, tuple[str, ...]] | None:
    column, _, values = text.partition("=")
    if text and not (column and values):
        raise typer.BadParameter(f"--where must read `<column>=<value>,<value>`, but is {text!r}")
    return (column.strip(), tuple(value.strip() for value in values.split(","))) if text else None


def _write(found: "Comparison", folder: Path) -> Path:
    from fairlead.files import write_whole
    from fairlead.replay.picture import draw

    write_whole(folder / "replay.json", found.model_dump_json(indent=2))
    return write_whole(folder / "replay.svg", draw(found))


def _print(found: "Comparison", console: "Console") -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    for item in found.policies:
        table.add_column(item.name, justify="right")
    for begin in found.policies[0].periods:
        values = [item.periods[begin] for item in found.policies]
        table.add_row(f"{begin:%B}", *("" if value is None else f"{value:.3f}" for value in values))
    table.add_row("mean", *(f"[bold]{item.mean:.4f}[/]" for item in found.policies))
    table.add_row("gain kept", *("" if item.share is None else f"{item.share:.1%}" for item in found.policies))
    table.add_row("retrainings", *(str(len(item.retrainings)) for item in found.policies))
    table.add_row("  refused", *(str(sum(not one.accepted for one in item.retrainings)) for item in found.policies))
    console.print(
        f"\n{found.model}, {found.where}: {found.rows:,} rows from {found.first} to {found.last}; ROC AUC by month\n",
        highlight=False,
    )
    console.print(table, highlight=False)
    console.print()
    for one in found.policy("platform").retrainings:
        verdict = "promoted" if one.accepted else f"refused: {'; '.join(one.reasons) or one.why}"
        console.print(f"{one.version}  {one.trigger:<8} {one.why}; {verdict}", highlight=False, markup=False)
    console.print(f"\ntime  {found.seconds:.0f} s", highlight=False)
