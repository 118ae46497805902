"""`fairlead retraining …`: ask for a retraining, see what the brakes answered and why, stop it all."""

import getpass
import json
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli.place import Place
from fairlead.settings import DEFAULT_HOME, find_repo, of_command

if TYPE_CHECKING:
    from rich.console import Console

    from fairlead.errors import FairleadError
    from fairlead.ports import TrainingRuns
    from fairlead.retraining.desk import Desk
    from fairlead.retraining.entries import Answered

retraining = typer.Typer(no_args_is_help=True, help="Ask for retrainings, and see what the brakes answer.")

Model = Annotated[str, typer.Argument(help="The model.")]
Home = Annotated[Path, typer.Option(help="The folder that holds everything a run writes.", envvar="FAIRLEAD_HOME")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Why = Annotated[str, typer.Option("--why", help="For those who read the log.")]
AsOf = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], help="Train as if this day had just begun.  [default: today]"),
]
On = Annotated[Place, typer.Option(help="Where it runs: this machine, or Kubeflow Pipelines.")]
Environment = Annotated[
    str, typer.Option("--environment", "-e", help="Of a run on a cluster: a folder of manifests/envs.")
]
HOME = Path(DEFAULT_HOME)
REFUSED = 3
"""Exit code of a request that the brakes refused."""


@retraining.command()
def log(model: Model, home: Home = HOME, json_output: Json = False) -> None:
    """Print all that was asked for, answered, started, ended, held and released, in order."""
    desk = _desk(model, home)
    entries = [entry.model_dump(mode="json") for entry in desk.log.read(desk.model)]
    if json_output:
        _print_json(entries)
        return
    console = _console()
    for entry in entries:
        at, kind = entry.pop("at"), entry.pop("kind")
        told = "  ".join(f"{name}={value}" for name, value in entry.items() if value not in (None, "", False))
        console.print(f"{at[:19]}  {kind:<9} {told}", highlight=False, markup=False)
    if not entries:
        console.print("nothing was asked for yet")


@retraining.command()
def status(model: Model, home: Home = HOME, json_output: Json = False) -> None:
    """Print the state of the brakes, and what stands against a retraining now."""
    from fairlead.retraining.brakes import phase, runs_in_month

    desk, now = _desk(model, home), datetime.now(UTC)
    state = desk.state()
    found = {
        "model": model,
        "state": phase(desk.spec, state, now),
        "running": state.running and state.running.name,
        "held": state.hold and f"by {state.hold.by}: {state.hold.why}",
        "runs_in_month": runs_in_month(state, now),
        "month_budget": desk.spec.max_runs_a_month,
        "consecutive_failures": state.failures,
        "last_start": state.starts[-1] if state.starts else None,
        "last_success": state.last_success,
        "waiting": list(state.open),
        "newest_refusal": state.refused and f"{state.refused.reason}: {state.refused.detail}",
    }
    if json_output:
        _print_json(found)
        return
    for name, value in found.items():
        _console().print(
            f"{name.replace('_', ' '):<21} {'' if value is None else value}", highlight=False, markup=False
        )


@retraining.command()
def request(
    model: Model,
    home: Home = HOME,
    why: Why = "",
    as_of: AsOf = None,
    on: On = Place.laptop,
    environment: Environment = "dev",
    override: Annotated[
        bool, typer.Option("--override", help="Ask for it whatever the brakes say; only a run under way refuses.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Ask for a retraining now; the brakes answer, and what they let through is run to its end. It makes a challenger.

    Exit code 0: trained and accepted. 1: failed. 3: refused, by the brakes or by the gates.
    """
    from fairlead.retraining.entries import Asked

    now = datetime.now(UTC)
    person = getpass.getuser()
    asked = Asked(at=now, key=f"person-{now:%Y%m%dT%H%M%S.%f}", trigger="person", by=person, why=why, override=override)
    desk = _desk(model, home)
    desk.ask(asked)
    if _act(desk, home, as_of, on, environment, json_output):
        raise typer.Exit(REFUSED)


@retraining.command()
def act(
    model: Model,
    home: Home = HOME,
    as_of: AsOf = None,
    on: On = Place.laptop,
    environment: Environment = "dev",
    json_output: Json = False,
) -> None:
    """Look at the champion, answer the requests that wait, of alerts too, and run what the brakes let through.

    It asks by itself where the champion has decayed, where rows are beyond what it was fitted to, and where labels have
    grown enough.

    Exit code 1: a run failed, or the champion cannot be looked at. Else 0: that brakes or gates refuse is no fault of
    this command.
    """
    desk = _desk(model, home)
    blind = _look(desk, home, as_of)
    _act(desk, home, as_of, on, environment, json_output)
    if blind is not None:
        from fairlead.adapters.result_files import ResultFiles
        from fairlead.monitors.results import keep_failure

        keep_failure(ResultFiles(of_command(home, find_repo()).tables_uri), model, "retraining", blind)
        raise blind


@retraining.command()
def hold(model: Model, home: Home = HOME, why: Why = "") -> None:
    """Refuse every retraining from now on; a run under way goes on."""
    from fairlead.retraining.entries import Held

    _desk(model, home).hold(Held(at=datetime.now(UTC), by=getpass.getuser(), why=why))
    _console().print(f"{model} is held; `fairlead retraining release {model}` ends it", highlight=False)


@retraining.command()
def release(model: Model, home: Home = HOME, why: Why = "") -> None:
    """End a hold, and the back-off after failures."""
    from fairlead.retraining.entries import Released

    _desk(model, home).release(Released(at=datetime.now(UTC), by=getpass.getuser(), why=why))
    _console().print(f"{model} is released", highlight=False)


def _desk(model: str, home: Path) -> "Desk":
    from fairlead.adapters.retraining_log import open_log
    from fairlead.retraining.desk import Desk
    from fairlead.spec.load import load_specs

    repo = find_repo()
    spec, _ = load_specs(repo, model)
    return Desk(model, spec.retraining, open_log(of_command(home, repo).tables_uri))


def _look(desk: "Desk", home: Path, as_of: datetime | None) -> "FairleadError | None":
    """Ask for what the champion's figures ask; an error is returned, as others are answered all the same."""
    from fairlead.errors import FairleadError
    from fairlead.retraining.look import look
    from fairlead.retraining.signals import tell
    from fairlead.spec.load import load_specs
    from fairlead.training.splits import midnight

    repo = find_repo()
    model, dataset = load_specs(repo, desk.model)
    now = midnight(as_of.date(), dataset.timezone) if as_of else datetime.now(UTC)
    try:
        signals = look(of_command(home, repo), model, dataset, now)
    except FairleadError as error:
        return error
    if signals is not None:
        tell(desk, replace(signals, at=datetime.now(UTC)))  # the log is in the order of its clock
    return None


def _act(desk: "Desk", home: Path, as_of: datetime | None, place: Place, environment: str, json_output: bool) -> bool:
    """Whether brakes or gates have refused."""
    from fairlead.retraining.labels import count_new_labels
    from fairlead.spec.load import load_specs
    from fairlead.training.splits import midnight

    console = _console(stderr=json_output)
    repo = find_repo()
    model, dataset = load_specs(repo, desk.model)
    day = (as_of or datetime.now()).date()
    moment = midnight(day, dataset.timezone)
    runs = _runs(desk.model, home, day, place, environment, console)
    desk.settle(runs, datetime.now(UTC))
    new_labels = count_new_labels(of_command(home, repo), model, dataset, moment) if desk.state().open else 0
    answers = desk.answer(datetime.now(UTC), new_labels)
    for answered in answers:
        _tell(answered, console)
    started = next((item for item in answers if item.started), None)
    ended = None
    if started is not None:
        desk.start(started, runs, moment, lambda: datetime.now(UTC))
        last = desk.log.read(desk.model)[-1]
        ended = last if last.kind == "ended" else None
    _publish(desk, home)
    if json_output:
        found: dict[str, Any] = {"answers": [item.model_dump(mode="json") for item in answers]}
        _print_json(found | {"outcome": ended.outcome if ended else None, "detail": ended.detail if ended else ""})
    if ended is not None and ended.outcome == "failed":
        console.print(ended.detail, highlight=False, markup=False)
        raise typer.Exit(1)
    return (bool(answers) and started is None) or (ended is not None and ended.outcome == "refused")


def _runs(name: str, home: Path, day: date, place: Place, environment: str, console: "Console") -> "TrainingRuns":
    from fairlead.adapters.training_runs import LocalTrainingRuns

    if place is Place.cluster:
        from fairlead.cli.cluster import training_runs

        return training_runs(name, environment)
    from fairlead.cli.runs import run_training

    return LocalTrainingRuns(lambda instant: run_training(name, home, day, console))


def _publish(desk: "Desk", home: Path) -> None:
    """Tell what is scraped how things stand."""
    from fairlead.adapters.result_files import ResultFiles
    from fairlead.monitors.results import succeeded
    from fairlead.retraining.figures import figures

    found = figures(desk.model, desk.spec, desk.state(), desk.log.read(desk.model), datetime.now(UTC))
    ResultFiles(of_command(home, find_repo()).tables_uri).write(succeeded(desk.model, "retraining", found))


def _tell(answered: "Answered", console: "Console") -> None:
    verb = "started" if answered.started else "refused"
    told = f"{verb}: {answered.reason}" + (f", {answered.detail}" if answered.detail else "")
    console.print(told, highlight=False, markup=False)


def _console(stderr: bool = False) -> "Console":
    from rich.console import Console

    return Console(file=sys.stderr if stderr else sys.stdout, soft_wrap=True)


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
