"""`fairlead rollout …`: watch releases, ask about one, and say what a person decides."""

import getpass
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from fairlead.settings import DEFAULT_HOME

if TYPE_CHECKING:
    from fairlead.cli.rollout_parts import Parts
    from fairlead.rollout.control import Look

app = typer.Typer(
    no_args_is_help=True,
    help="Release a version step by step, decided by its figures and written to Git.\n\n"
    "Without --repository, releases are kept in the home, in one environment called laptop, and judged by the local "
    "gateway's counters. FAIRLEAD_GIT_TOKEN is the password of an https:// repository and the token for pull requests.",
)

Model = Annotated[str, typer.Argument(help="A model: `flight-delay`.")]
HomeFolder = Annotated[
    Path, typer.Option("--home", help="Holds the clone, and on a laptop the releases.", envvar="FAIRLEAD_HOME")
]
Repository = Annotated[
    str | None,
    typer.Option(help="Address or path of the Git repository that holds manifests/.", envvar="FAIRLEAD_RELEASES"),
]
Branch = Annotated[str, typer.Option(help="Of the repository.", envvar="FAIRLEAD_RELEASES_BRANCH")]
Environment = Annotated[
    str,
    typer.Option("--environment", "--env", "-e", help="A folder of manifests/envs.", envvar="FAIRLEAD_ENVIRONMENT"),
]
PrometheusUrl = Annotated[
    str | None,
    typer.Option(help="Address of the Prometheus that scrapes the servers.", envvar="FAIRLEAD_PROMETHEUS"),
]
Selector = Annotated[
    str | None,
    typer.Option(
        help='Matchers of every query to it.  [default: namespace="<the environment\'s>"]',
        envvar="FAIRLEAD_PROMETHEUS_SELECTOR",
    ),
]
Gateway = Annotated[
    str,
    typer.Option(help="Admin address of the local gateway, where no Prometheus is named.", envvar="FAIRLEAD_GATEWAY"),
]
Service = Annotated[
    list[str] | None,
    typer.Option("--service", metavar="NAME=URL", help="Where a service of the gateway is; may repeat."),
]
GitHub = Annotated[
    str | None,
    typer.Option(
        help="`owner/name`, where pull requests are opened.  [default: from a repository at github.com]",
        envvar="FAIRLEAD_GITHUB",
    ),
]
Reason = Annotated[str, typer.Option(help="For the others; it is in the commit.")]
By = Annotated[str | None, typer.Option(help="Who decides.  [default: the user of this machine]", envvar="FAIRLEAD_BY")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

HOME, LAPTOP = Path(DEFAULT_HOME), "laptop"
GATEWAY = "http://127.0.0.1:9090"


@app.command()
def watch(
    home: HomeFolder = HOME,
    repository: Repository = None,
    branch: Branch = "main",
    environment: Environment = LAPTOP,
    prometheus: PrometheusUrl = None,
    selector: Selector = None,
    gateway: Gateway = GATEWAY,
    service: Service = None,
    github: GitHub = None,
    run: Annotated[
        str | None, typer.Option(help="Where this process's log can be read; in commits.", envvar="FAIRLEAD_RUN")
    ] = None,
    routes: Annotated[
        Path | None, typer.Option(help="A file for the local gateway: the HTTPRoute that follows from the release.")
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="Where /metrics listens.")] = "127.0.0.1",
    metrics_port: Annotated[int, typer.Option(min=0, max=65535, help="0 turns it off.")] = 9091,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
) -> None:
    """Judge the releases of an environment window by window, and commit what follows, until a signal comes.

    It keeps nothing: stopped and started again, it goes on from Git and the counters.
    """
    from fairlead.cli.rollout_parts import Parts, keep_watch

    parts = Parts(home, repository, branch, environment, prometheus, selector, gateway, service or [], github, run)
    keep_watch(parts.controller("watch"), routes, (metrics_host, metrics_port), once=once)


@app.command()
def status(
    model: Model,
    home: HomeFolder = HOME,
    repository: Repository = None,
    branch: Branch = "main",
    environment: Environment = LAPTOP,
    prometheus: PrometheusUrl = None,
    selector: Selector = None,
    gateway: Gateway = GATEWAY,
    json_output: Json = False,
) -> None:
    """Show the stage of a release, the evidence so far, and what would happen next and why."""
    from fairlead.cli.rollout_parts import Parts, print_status
    from fairlead.rollout.status import status_of

    parts = Parts(home, repository, branch, environment, prometheus, selector, gateway)
    found = status_of(parts.controller(), model)
    if json_output:
        sys.stdout.write(json.dumps(found.as_json(), indent=2) + "\n")
    else:
        print_status(found, _console())


@app.command()
def start(
    version: Annotated[str, typer.Argument(help="What is to be tried: `flight-delay@4`, or of an alias.")],
    again: Annotated[bool, typer.Option("--again", help="Though it was rolled back before.")] = False,
    home: HomeFolder = HOME,
    repository: Repository = None,
    branch: Branch = "main",
    environment: Environment = LAPTOP,
    json_output: Json = False,
) -> None:
    """Begin to release a version. The registry must say that it passed its gates."""
    from fairlead.cli.rollout_parts import Parts, passed_gates

    parts = Parts(home, repository, branch, environment)
    name, number, run = passed_gates(parts, version)
    _decide(parts, name, "Start", json_output, first=name, version=number, run=run, again=again)


@app.command()
def abort(
    model: Model,
    reason: Reason = "aborted by hand",
    by: By = None,
    home: HomeFolder = HOME,
    repository: Repository = None,
    branch: Branch = "main",
    environment: Environment = LAPTOP,
    json_output: Json = False,
) -> None:
    """Roll a release back: all requests go to stable, or to the version before a promotion."""
    from fairlead.cli.rollout_parts import Parts

    _decide(Parts(home, repository, branch, environment), model, "Abort", json_output, by=_who(by), reason=reason)


@app.command()
def approve(
    model: Model,
    by: By = None,
    home: HomeFolder = HOME,
    repository: Repository = None,
    branch: Branch = "main",
    environment: Environment = LAPTOP,
    github: GitHub = None,
    json_output: Json = False,
) -> None:
    """Go on with a release that waits for a person, though the figures did not decide."""
    from fairlead.cli.rollout_parts import Parts

    parts = Parts(home, repository, branch, environment, github=github)
    _decide(parts, model, "Approve", json_output, by=_who(by))


@app.command()
def hold(
    model: Model,
    reason: Reason = "held by hand",
    by: By = None,
    home: HomeFolder = HOME,
    repository: Repository = None,
    branch: Branch = "main",
    environment: Environment = LAPTOP,
    json_output: Json = False,
) -> None:
    """Let nothing go on for now; harm still rolls back."""
    from fairlead.cli.rollout_parts import Parts

    _decide(Parts(home, repository, branch, environment), model, "Hold", json_output, by=_who(by), reason=reason)


@app.command()
def resume(
    model: Model,
    by: By = None,
    home: HomeFolder = HOME,
    repository: Repository = None,
    branch: Branch = "main",
    environment: Environment = LAPTOP,
    json_output: Json = False,
) -> None:
    """Let a held release go on."""
    from fairlead.cli.rollout_parts import Parts

    _decide(Parts(home, repository, branch, environment), model, "Resume", json_output, by=_who(by))


def _decide(
    parts: "Parts", model: str, kind: str, json_output: bool, *, first: str | None = None, **words: object
) -> None:
    from fairlead.rollout import stages

    controller = parts.controller(first=first)
    place = controller.place(model)
    event = getattr(stages, kind)(at=controller.clock(), revision=place.release.revision, **words)
    _print(controller.apply(place, event), json_output)


def _print(look: "Look", json_output: bool) -> None:
    release, pull = look.release, look.proposal
    if json_output:
        found = {**release.model_dump(mode="json"), "commit": look.commit, "proposal": pull.url if pull else None}
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    elif pull is not None:
        _console().print(f"a person is to merge {pull.url}", highlight=False)
    else:
        _console().print(
            f"{release.model} is in stage {release.stage}: {release.why}  [{look.commit or ''}]", markup=False
        )


def _who(by: str | None) -> str:
    return by or os.environ.get("USER") or getpass.getuser()


def _console() -> Console:
    return Console(soft_wrap=True)
