"""The commands."""

import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fairlead.cli import rollout
from fairlead.cli.performance import performance
from fairlead.cli.place import Place
from fairlead.cli.replay import replay
from fairlead.cli.retraining import retraining
from fairlead.settings import DEFAULT_HOME, find_repo, of_command

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="An ML platform for Kubeflow in one Git repository.\n\n"
    "Everything is kept in the folder --home, unless the environment names the places as it does on a cluster: "
    "FAIRLEAD_REPO, FAIRLEAD_TABLES_URI, FAIRLEAD_FEATURE_STORE, FAIRLEAD_FEAST_URI, FAIRLEAD_TRACKING_URI, "
    "FAIRLEAD_ARTIFACTS_URI and FAIRLEAD_BUNDLES_URI, all of them, and FAIRLEAD_ONLINE_STORE where feature_store.yaml "
    "asks for it.",
)

REFUSED = 3
"""Exit code of a run whose model the gates refused."""
DEFAULT_AS_OF, QUICK_AS_OF = datetime(2013, 4, 1), datetime(2013, 2, 24)

Home = Annotated[
    Path,
    typer.Option(
        help="The folder that holds everything a run writes; where the environment names the places, only outputs of "
        "steps, their cache, logs and the report.",
        envvar="FAIRLEAD_HOME",
    ),
]
AsOf = Annotated[
    datetime, typer.Option(formats=["%Y-%m-%d"], help="Run as if this day had just begun where the data is from.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
INSTANTS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]
Name = Annotated[str, typer.Argument(help="A model: `flight-delay`; of a version or alias: `flight-delay@3`.")]

Api = Annotated[
    str | None,
    typer.Option(
        help="Address of Kubeflow Pipelines, if it is another than the environment's: http://127.0.0.1:8888.",
        envvar="FAIRLEAD_PIPELINES_API",
    ),
]

HOME = Path(DEFAULT_HOME)


schedules = typer.Typer(no_args_is_help=True, help="Runs that Kubeflow Pipelines starts by the clock.")
app.add_typer(schedules, name="schedules")
app.add_typer(rollout.app, name="rollout")
app.add_typer(retraining, name="retraining")
app.command()(replay)
app.command()(performance)


@schedules.callback()
def _schedules() -> None:
    """Runs that Kubeflow Pipelines starts by the clock."""


@schedules.command("sync")
def sync_schedules(
    file: Annotated[Path, typer.Argument(help="The schedules of an environment, as rendered into its ConfigMap.")],
    api: Api = None,
    json_output: Json = False,
) -> None:
    """Make the recurring runs those that are declared; doing it again changes nothing."""
    from fairlead.cli.cluster import sync_schedules as sync

    sync(file, api, _console(), json_output)


@app.command()
def demo(
    home: Home = HOME,
    as_of: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="Run as if this day had just begun where the data is from.  "
            "[default: 2013-04-01, with --quick 2013-02-24]",
        ),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(
            min=1, help="Days after --as-of whose flights the endpoint is asked about.  [default: 2, with --quick 1]"
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="All of it in less time: fewer days, fewer trials.")] = False,
    month: Annotated[
        bool | None,
        typer.Option(
            "--month/--no-month",
            help="Live through the month after --as-of, with watch and brakes.  [default: yes, with --quick no]",
        ),
    ] = None,
) -> None:
    """Run the whole loop on a year of flights: data, features, model, endpoint, canary, report."""
    from fairlead.cli.runs import run_demo

    day = as_of or (QUICK_AS_OF if quick else DEFAULT_AS_OF)
    a_month = not quick if month is None else month
    accepted = run_demo(
        "flight-delay", home, day.date(), days or (1 if quick else 2), _console(), quick=quick, a_month=a_month
    )
    raise typer.Exit(0 if accepted else REFUSED)


@app.command()
def run(
    model: Annotated[str, typer.Argument(help="The model to train.")],
    home: Home = HOME,
    as_of: AsOf = DEFAULT_AS_OF,
    on: Annotated[Place, typer.Option(help="This machine, or Kubeflow Pipelines.")] = Place.laptop,
    environment: Annotated[
        str, typer.Option("--environment", "-e", help="Of a run on a cluster: a folder of manifests/envs.")
    ] = "dev",
    api: Api = None,
    wait: Annotated[bool, typer.Option(help="Of a run on a cluster: watch it to its end.")] = True,
    json_output: Json = False,
) -> None:
    """Train a model: the pipeline train_and_release. An accepted one becomes the challenger."""
    if on is Place.cluster:
        from fairlead.cli.cluster import run_training as run_on_cluster

        found = run_on_cluster(model, as_of.date(), environment, api, wait, _console(stderr=json_output))
        if json_output:
            _print_json(found)
        raise typer.Exit(REFUSED if found.get("status") == "refused" else 0)
    if json_output:
        raise typer.BadParameter("--json is for runs on a cluster; `fairlead show` prints a version as JSON")
    from fairlead.cli.runs import run_training

    accepted = run_training(model, home, as_of.date(), _console())
    raise typer.Exit(0 if accepted else REFUSED)


@app.command()
def check(json_output: Json = False) -> None:
    """Check all specs and what they refer to."""
    from fairlead.render.check import check_specs

    problems, found = check_specs(find_repo())
    if json_output:
        _print_json({"problems": problems, **found})
    else:
        for problem in problems:
            _console(stderr=True).print(problem, markup=False)
        if not problems:
            _console().print(f"{len(found['datasets'])} dataset(s) and {len(found['models'])} model(s) are fine")
    raise typer.Exit(1 if problems else 0)


@app.command()
def render(
    check_only: Annotated[
        bool, typer.Option("--check", help="Change nothing; fail if a file is not up to date.")
    ] = False,
) -> None:
    """Write what is made from specs and code and committed: manifests, schemas, compiled pipelines, this reference.

    A file that no spec makes any more is deleted.
    """
    from fairlead.render.files import render_all

    stale, orphans = render_all(find_repo(), write=not check_only)
    for path in stale:
        _console().print(f"{'not up to date: ' if check_only else 'wrote '}{path}", highlight=False)
    for path in orphans:
        _console().print(f"{'made by no spec any more: ' if check_only else 'deleted '}{path}", highlight=False)
    raise typer.Exit(1 if check_only and (stale or orphans) else 0)


@app.command()
def doctor(
    environment: Annotated[
        str | None,
        typer.Option(
            "--env",
            "--environment",
            "-e",
            help="A folder of manifests/envs; unless told, those that argocd/settings.yaml names.",
        ),
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(help="As kubectl has it; unless told, KUBECONFIG, else ~/.kube/config.")
    ] = None,
    context: Annotated[str | None, typer.Option(help="Of the kubeconfig; unless told, its current one.")] = None,
    json_output: Json = False,
) -> None:
    """Say what is missing or wrong on a cluster, and how to mend it; nothing is changed.

    Exit code 0: all is well. 1: something is not, or cannot be told. 2: the cluster cannot be reached.
    """
    from fairlead.cli.doctor import examine_cluster

    raise typer.Exit(examine_cluster(find_repo(), environment, kubeconfig, context, json_output))


@app.command()
def models(home: Home = HOME, json_output: Json = False) -> None:
    """List the versions of all models."""
    from fairlead.cli.show import list_models

    list_models(of_command(home, find_repo()), _console(), json_output)


@app.command()
def show(model: Name, home: Home = HOME, json_output: Json = False) -> None:
    """Print everything that made a version; without one, of the champion, else of the newest accepted."""
    from fairlead.cli.show import show_version

    show_version(model, of_command(home, find_repo()), _console(), json_output)


@app.command()
def reproduce(model: Name, home: Home = HOME) -> None:
    """Train a version again, from its record and in a folder of its own, and compare the bytes of the models."""
    from fairlead.cli.runs import run_again

    same = run_again(model, home, _console())
    raise typer.Exit(0 if same else 1)


@app.command()
def promote(model: Name, home: Home = HOME) -> None:
    """Make a version the champion; a name alone means the challenger. What its gates refused is not promoted."""
    from fairlead.adapters.mlflow import CHALLENGER, MlflowRegistry
    from fairlead.home import lock_home

    registry = MlflowRegistry(of_command(home, find_repo()))
    name, _, wanted = model.partition("@")
    version = registry.resolve(name, wanted or CHALLENGER)
    with lock_home(home):
        registry.promote(version)
    _console().print(f"{version.model}@{version.version} is the champion", highlight=False)


@app.command()
def publish(model: Name, home: Home = HOME) -> None:
    """Bring the features of a version's run online, as they were known at its time; `serve` looks them up."""
    from fairlead.cli.runs import publish_features

    publish_features(model, home, _console())


@app.command()
def score(
    model: Name,
    source: Annotated[
        str | None,
        typer.Argument(
            help="A table `<dataset>/<layer>/<table>` or the folder of a Delta table, `@version` behind it or not; "
            "a Parquet file, or a folder of them; here or at s3://."
        ),
    ] = None,
    home: Home = HOME,
    start: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], help="Instead of an input: what is asked about from this day on."),
    ] = None,
    end: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="The first day that is not asked about.")
    ] = None,
    asked_at: Annotated[
        str | None,
        typer.Option(help="When all rows are asked about, with an offset; unless told, or in `asked_at`: now."),
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="A table's name or a folder.  [default: <dataset>/predictions/<model>]")
    ] = None,
    keep: Annotated[list[str] | None, typer.Option(help="A column to repeat beside the scores; may repeat.")] = None,
    pin: Annotated[
        list[str] | None, typer.Option(help="`<table>@<version>` to read instead of the newest; may repeat.")
    ] = None,
    refused: Annotated[bool, typer.Option("--refused", help="Score with a version that its gates refused.")] = False,
    json_output: Json = False,
) -> None:
    """Score a table, or a range of time, and append the predictions to a table."""
    from fairlead.cli.score import score_rows
    from fairlead.scoring.request import Request

    request = Request(
        source=source,
        start=start.date() if start else None,
        end=end.date() if end else None,
        asked_at=asked_at,
        output=output,
        keep=keep or [],
        pins=pin or [],
        refused=refused,
    )
    score_rows(model, request, home, _console(stderr=json_output), json_output)


@app.command()
def drift(
    model: Annotated[str, typer.Argument(help="A model: `flight-delay`.")],
    as_of: Annotated[
        datetime | None,
        typer.Option(
            formats=INSTANTS, help="Look as if it were this moment, UTC; windows that end later are not judged."
        ),
    ] = None,
    home: Home = HOME,
    json_output: Json = False,
) -> None:
    """Compare the newest records of predictions with what the model was trained on, and look upstream.

    What is found is kept beside the tables, where the collector serves it as metrics. Ends with 0 also on an alarm.
    """
    from fairlead.cli.watch import watch_drift

    watch_drift(model, as_of, home, _console(stderr=json_output), json_output)


@app.command()
def serve(
    model: Name,
    home: Home = HOME,
    host: Annotated[str, typer.Option(help="Where to listen; this machine only, unless told otherwise.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="v1 and v2 over HTTP.")] = 8080,
    grpc_port: Annotated[int, typer.Option(help="v2 over gRPC; 0 turns it off.")] = 8081,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the ports.")] = 1,
) -> None:
    """Serve a version with KServe's model server; without one, the champion, else the newest accepted."""
    from fairlead.adapters.bundles import open_bundles
    from fairlead.adapters.mlflow import MlflowRegistry
    from fairlead.cli.show import find_version

    settings = of_command(home, find_repo())
    version = find_version(MlflowRegistry(settings), model)
    bundle = open_bundles(settings.bundles_uri).uri(version.model, version.version)
    os.environ.update(settings.environ())
    words = ["--bundle", bundle, "--host", host, "--http-port", str(port), "--grpc-port", str(grpc_port)]
    words += ["--workers", str(workers)]
    # The server takes this process's place: signals and the exit code are its own.
    os.execv(sys.executable, [sys.executable, "-m", "serving", *words])


def _console(stderr: bool = False) -> Console:
    return Console(file=sys.stderr if stderr else sys.stdout, soft_wrap=True)


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
