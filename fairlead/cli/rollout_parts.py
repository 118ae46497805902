"""What the commands of `fairlead rollout` put together."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from fairlead.adapters.git import GitBranch
from fairlead.adapters.github import API, GitHubPulls
from fairlead.errors import FairleadError, RegistryError, RolloutError
from fairlead.lineage.digest import hash_json
from fairlead.ports import RecordStore, ReleaseCounters
from fairlead.rollout import laptop
from fairlead.rollout.control import Controller, Look
from fairlead.rollout.recorded import RecordedAnswers
from fairlead.rollout.routes import write_routes
from fairlead.rollout.status import Status, hard_stop, sparkline
from fairlead.rollout.telemetry import Telemetry
from fairlead.rollout.watch import Watch
from fairlead.settings import Settings, find_repo, of_command

if TYPE_CHECKING:
    import pandas as pd

TOKEN, GITHUB_API = "FAIRLEAD_GIT_TOKEN", "FAIRLEAD_GITHUB_API"
PLOT_WIDTH = 60


@dataclass(frozen=True)
class Parts:
    """The options of a command."""

    home: Path
    repository: str | None
    branch: str
    environment: str
    prometheus: str | None = None
    selector: str | None = None
    gateway: str = "http://127.0.0.1:9090"
    services: Collection[str] = ()
    github: str | None = None
    run: str | None = None

    @cached_property
    def settings(self) -> Settings:
        """Where the registry is."""
        return of_command(self.home, find_repo())

    def controller(self, clone: str = "commands", first: str | None = None) -> Controller:
        """What looks at releases and writes them.

        Args:
            clone: of this name in the home; processes that run at once have one each.
            first: on a laptop, the model whose champion is the first release, if there is none.

        Raises:
            RolloutError: there is no repository.
        """
        url = self._address(first)
        folder = self.home / "rollout" / f"{hash_json(url)[:12]}-{clone}.git"
        repository = GitBranch(url, self.branch, folder.resolve(), token=self._token)
        return Controller(
            repository,
            self.branch,
            self.environment,
            self._counters(),
            gated=self.gated,
            answers=self.answers(),
            pulls=self._pulls(url),
            run=self.run,
        )

    def answers(self) -> RecordedAnswers:
        """What reads the candidate's answers, where a model's spec asks for that."""

        def records() -> RecordStore:
            from fairlead.adapters.delta_records import DeltaRecords

            return DeltaRecords(self.settings.tables_uri)

        def labels(model: str, keys: "pd.Series[str]") -> "pd.DataFrame":
            from fairlead.performance.source import labels_of
            from fairlead.spec.load import load_specs

            return labels_of(self.settings, *load_specs(self.settings.repo, model), keys)

        return RecordedAnswers(records, labels)

    def gated(self, model: str) -> Collection[str]:
        """The versions that the registry calls accepted.

        Raises:
            RolloutError: the registry cannot be asked.
        """
        from fairlead.adapters.mlflow import MlflowRegistry

        try:
            versions = MlflowRegistry(self.settings).versions(model)
        except FairleadError as error:
            raise RolloutError(f"whether a version of {model} passed its gates cannot be asked: {error}") from None
        return {item.version for item in versions if item.status == "accepted"}

    def _address(self, first: str | None) -> str:
        if self.repository is not None:
            return self.repository
        folder = self.home.resolve() / laptop.FOLDER
        if self.environment != laptop.ENVIRONMENT:
            raise RolloutError(f"where the releases of {self.environment} are must be told: --repository URL")
        if not folder.exists():
            if first is None:
                raise RolloutError(
                    f"{folder} must hold releases, but there are none yet: fairlead rollout start MODEL@2"
                )
            self._make(folder, first)
        return str(folder)

    def _make(self, folder: Path, model: str) -> None:
        """The first release is the champion."""
        from fairlead.adapters.mlflow import MlflowRegistry

        champion = MlflowRegistry(self.settings).champion(model)
        if champion is None:
            raise RolloutError(f"{model} has no champion, which the first release is: fairlead promote {model}")
        spec = (self.settings.repo / "pipelines" / "models" / f"{model}.yaml").read_text(encoding="utf-8")
        laptop.make_repository(folder, model, spec, champion.version, datetime.now(UTC))

    def _counters(self) -> ReleaseCounters:
        if self.prometheus is not None:
            from fairlead.adapters.prometheus import PrometheusCounters

            selector = self.selector if self.selector is not None else f'namespace="fairlead-{self.environment}"'
            return PrometheusCounters(self.prometheus, selector)
        from fairlead.adapters.gateway_counters import GatewayCounters

        return GatewayCounters(self.gateway, self.home / "rollout" / "counters.jsonl", _services(self.services))

    def _pulls(self, url: str) -> GitHubPulls | None:
        name = self.github or _github_name(url)
        if name is None or self._token is None:
            return None
        return GitHubPulls(name, self._token, os.environ.get(GITHUB_API, API))

    @property
    def _token(self) -> SecretStr | None:
        found = os.environ.get(TOKEN)
        return SecretStr(found) if found else None


def passed_gates(parts: Parts, name: str) -> tuple[str, str, str]:
    """Model, version, and where it is recorded that its gates accepted it.

    Raises:
        RegistryError: there is no such version, or its gates refused it.
    """
    from fairlead.adapters.mlflow import CHALLENGER, MlflowRegistry

    model, _, wanted = name.partition("@")
    registry = MlflowRegistry(parts.settings)
    version = registry.resolve(model, wanted or CHALLENGER)
    if version.status != "accepted":
        reasons = "; ".join(version.reasons)
        raise RegistryError(f"{model}@{version.version} was refused by its gates and cannot be released: {reasons}")
    return model, version.version, f"run {version.run_id} of {parts.settings.tracking_uri}"


def keep_watch(controller: Controller, routes: Path | None, address: tuple[str, int], *, once: bool) -> None:
    """Look until a signal comes.

    Raises:
        CountsMissingError: no model has the metrics that are read.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stop = threading.Event()

    def leave(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    telemetry = Telemetry(controller.environment)
    watch = Watch(controller, telemetry, lambda model, look: _route(routes, look))
    if once:
        watch.look_at_all()
        return
    if address[1]:
        from prometheus_client import start_http_server

        try:
            start_http_server(address[1], address[0], telemetry.registry)
        except OSError as error:
            raise RolloutError(f"/metrics cannot listen on {address[0]}:{address[1]}: {error.strerror}") from None
    watch.run(stop)


def _route(routes: Path | None, look: Look) -> None:
    if routes is not None:
        write_routes(routes, look.release)


def print_status(status: Status, console: Console) -> None:
    """Stage, evidence and what comes next, for a terminal."""
    release = status.release
    console.print(f"[bold]{release.model}[/] in {status.environment}: [bold]{release.stage}[/]", highlight=False)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("stable", release.stable)
    if release.candidate is not None:
        share = f"copies of {release.mirror}%" if release.mirror else f"{release.weight}% of the requests"
        table.add_row("candidate", f"{release.candidate}, {share}, by {release.strategy}")
    if release.refused:
        table.add_row("rolled back", ", ".join(release.refused))
    table.add_row("since", f"{release.since.isoformat(timespec='seconds')}  (revision {release.revision})")
    told = {"last change": release.why, "refused edit": status.problem, "counts": status.unavailable}
    for name, value in {**told, "answers": status.answers.unavailable}.items():
        if value:
            table.add_row(name, value)
    console.print(table, highlight=False, markup=False)
    if status.decision is not None:
        _print_evidence(status, console)
    for line in status.answers.lines:
        console.print(line, highlight=False, markup=False)
    console.print(f"\nnext  {status.next}", highlight=False, markup=False)


def _print_evidence(status: Status, console: Console) -> None:
    decision = status.decision
    assert decision is not None, "asked by the caller"
    console.print(f"\n{decision.verdict.replace('_', ' ')}: {decision.reason}", highlight=False, markup=False)
    for signal_ in decision.signals:
        console.print(f"  {signal_}", highlight=False, markup=False)
    minutes = f"{decision.elapsed_minutes:.1f} minutes, {decision.windows} windows, {decision.windows_aside} set aside"
    console.print(f"  {minutes}; hard stop {hard_stop(decision)}\n", highlight=False, markup=False)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for curve in status.curves:
        table.add_row(f"{curve.of} by {curve.signal}", sparkline(curve.values, curve.threshold, PLOT_WIDTH), curve.text)
    console.print(table, highlight=False, markup=False)


def _services(words: Collection[str]) -> Mapping[str, str]:
    for word in words:
        if "=http" not in word:
            raise RolloutError(f"a service must be NAME=http://HOST:PORT, but is {word!r}")
    return {word.partition("=")[0]: word.partition("=")[2] for word in words}


def _github_name(url: str) -> str | None:
    """`owner/name` of an address at github.com."""
    if url.startswith("git@github.com:"):
        path = url.partition(":")[2]
    elif urlsplit(url).hostname == "github.com":
        path = urlsplit(url).path
    else:
        return None
    return path.strip("/").removesuffix(".git")
