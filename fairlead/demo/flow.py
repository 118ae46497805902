"""The steps of `fairlead run` and `fairlead demo`."""

import sys
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

from fairlead.adapters.bundles import open_bundles
from fairlead.adapters.delta import DeltaTables
from fairlead.adapters.endpoint import serve_in_background
from fairlead.adapters.feast import FeastFeatures
from fairlead.adapters.kfp import LocalPipelines, StepEvent
from fairlead.adapters.mlflow import CHAMPION, MlflowRegistry, RegisteredVersion
from fairlead.demo.month import Month, live_through, lived_through, told
from fairlead.demo.replay import last_refresh, replay
from fairlead.errors import EndpointError
from fairlead.features.training_set import rows_asked_between
from fairlead.files import write_whole
from fairlead.home import as_typed
from fairlead.lineage.code import code_version
from fairlead.lineage.digest import hash_json
from fairlead.lineage.plan import make_plan
from fairlead.lineage.record import Plan, RunRecord
from fairlead.lineage.steps import whole_numbers
from fairlead.packaging.session import ScoringSession
from fairlead.report.build import Circumstances, summarise
from fairlead.report.html import PAGE, is_reported, write_report
from fairlead.report.summary import NextCommand, Replay, Step, Summary
from fairlead.settings import DEFAULT_HOME, Settings
from fairlead.spec import DatasetSpec, ModelSpec
from fairlead.training.splits import days_before, midnight

if TYPE_CHECKING:
    from fairlead.demo.canary import Released

Made = TypeVar("Made")

PARITY_TOLERANCE = 1e-6
"""Between an answer of the endpoint and the offline score of the same row."""


class Progress(Protocol):
    """Where a flow says how far it is."""

    def begin(self, name: str, title: str) -> None:
        """A step begins."""
        ...

    def update(self, text: str) -> None:
        """How far the current step is."""
        ...

    def end(self, step: Step) -> None:
        """The current step is over."""
        ...


@dataclass
class Flow:
    """One run in one home. Each method is a step that a killed run repeats, or finds done."""

    home: Path
    """For what a run leaves on this machine: outputs of steps, cache, logs, report."""
    settings: Settings
    """Where everything else is kept."""
    repo: Path
    dataset: DatasetSpec
    model: ModelSpec
    as_of: datetime
    progress: Progress
    titles: Mapping[str, str]
    """Task → its display name in the compiled pipelines."""
    program: str = "fairlead"
    """How a user calls the command line."""
    python: str = sys.executable
    """What the steps of pipelines run in."""
    steps: list[Step] = field(default_factory=list)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    def plan(self) -> Plan:
        """What the run will be made from, as it is now."""
        return make_plan(self.settings, self.dataset, self.model, self.as_of)

    def train(self, plan: Plan) -> tuple[RegisteredVersion, RunRecord, Path]:
        """Run the pipeline; returns the registered version, its record and the data docs."""
        if "://" not in self.settings.feast_uri:
            Path(self.settings.feast_uri).mkdir(parents=True, exist_ok=True)
        outputs = self._run("train_and_release", plan.arguments())
        registry = MlflowRegistry(self.settings)
        version = registry.resolve(self.model.name, outputs["version"])
        return version, registry.record(version), Path(outputs["quality_docs"].path)

    def replay(self, version: RegisteredVersion, record: RunRecord, days: int) -> Replay:
        """Refresh the features for the days after the run, then ask an endpoint about each of their rows.

        Raises:
            EndpointError: an answer differs from the offline score.
        """
        end = days_before(self.as_of, -days, self.dataset.timezone)
        # A day more: a flight of the last evening is in the tables once it has landed.
        complete = days_before(end, -1, self.dataset.timezone)
        refresh = {
            "dataset": record.plan.dataset.to_parameter(),
            "sources": record.plan.sources,
            "as_of": complete.isoformat(),
            "code_version": record.plan.code_version,
        }
        key = hash_json({**refresh, "bundle": record.bundle.model_dump(mode="json"), "days": days})
        stored = self.home / "replay" / f"{key[:32]}.json"
        tables = self._run("refresh_features", refresh)
        clean, features = whole_numbers(tables["clean"]), whole_numbers(tables["features"])
        if stored.exists():
            return self._replayed_before(Replay.model_validate_json(stored.read_bytes()), features)
        result = self._replay(version, clean, features, end)
        difference = result.max_abs_difference
        if difference is None or difference > PARITY_TOLERANCE:
            raise EndpointError(
                f"answers and offline scores must agree within {PARITY_TOLERANCE}, but differ by {difference}"
            )
        write_whole(stored, result.model_dump_json())
        return result

    def _replayed_before(self, result: Replay, features: Mapping[str, int]) -> Replay:
        """Leave the online store as the replay left it, whatever was published since."""
        until = last_refresh(result)
        self._step("publish-features", "Publish features online", lambda: self._publish(features, until))
        self._step("replay", "Ask the endpoint", lambda: None, cached=True)
        return result

    def _publish(self, features: Mapping[str, int], until: datetime) -> str:
        """Replace what is online."""
        store = FeastFeatures(self.settings, self.dataset.name)
        written = store.publish(self.model.features, features, None, until)
        return f"{written:,} rows known by {until.astimezone(UTC).isoformat()}"

    def _replay(
        self, version: RegisteredVersion, clean: Mapping[str, int], features: Mapping[str, int], end: datetime
    ) -> Replay:
        store, service = FeastFeatures(self.settings, self.dataset.name), self.model.features
        bundle = self._bundle(version)
        with ExitStack() as stack:

            def start() -> str:
                log = self.home / "logs" / "serving.log"
                self.endpoint = stack.enter_context(serve_in_background([bundle], log, environ=self.settings.environ()))
                return f"{version.model}@{version.version} at {self.endpoint.url}"

            def ask() -> Replay:
                keys = store.describe(service).entities
                tables = DeltaTables(self.settings.tables_uri)
                rows = rows_asked_between(self.model, self.dataset, clean, tables, keys, self.as_of, end)
                offline = store.historical(service, rows, features)
                published = self.as_of

                def publish(until: datetime) -> None:
                    nonlocal published
                    if until > published:
                        store.publish(service, features, published, until)
                        published = until

                def tell(done: int, total: int) -> None:
                    self.progress.update(f"{done:,} of {total:,}")

                return replay(offline, ScoringSession.open(bundle), self.endpoint, publish, self.dataset.timezone, tell)

            self._step("publish-features", "Publish features online", lambda: self._publish(features, self.as_of))
            self._step("serve", "Start the endpoint", start)
            return self._step("replay", "Ask the endpoint", ask, detail=_replayed)

    def month(self, version: RegisteredVersion) -> Month:
        """Live through the month after the run, with the watch and the brakes."""
        champion = (version.version, self.as_of, self._bundle(version))
        home = self.home / "replay-year"
        before = lived_through(self.repo, home, version.version, self.as_of.astimezone(self._zone).date())
        if before is not None:
            self._step("month", "Live through a month", lambda: None, cached=True)
            return before
        return self._step(
            "month",
            "Live through a month",
            lambda: live_through(self.repo, home, self.model, self.dataset, champion),
            detail=told,
        )

    def promote(self, version: RegisteredVersion) -> RegisteredVersion:
        """Make the version the champion, unless a later one is; returns the champion."""
        registry = MlflowRegistry(self.settings)

        def change() -> RegisteredVersion:
            champion = registry.champion(version.model)
            if champion is not None and champion.version != version.version and not self._succeeds(version, champion):
                return champion
            registry.promote(version)
            return version

        def told(champion: RegisteredVersion) -> str:
            verb = "is" if champion.version == version.version else "stays"
            return f"{champion.model}@{champion.version} {verb} the champion"

        return self._step("promote", "Promote", change, detail=told)

    def canary(self, version: RegisteredVersion, result: Replay, *, quick: bool = False) -> "Released":
        """Release on live requests: a broken version, which is rolled back, and a good one, which is promoted."""
        # Imported here: `fairlead run` needs none of it.
        from fairlead.adapters.result_files import ResultFiles
        from fairlead.demo.canary import QUICK_WINDOW_SECONDS, WINDOW_SECONDS, Released, released, trials
        from fairlead.monitors.results import QUALITY, of_dataset

        window = QUICK_WINDOW_SECONDS if quick else WINDOW_SECONDS
        key = hash_json([version.version, version.run_id, code_version(self.repo), window])
        stored = self.home / "replay" / f"canary-{key[:32]}.json"
        if stored.exists():
            self._step("canary", "Release on live requests", lambda: None, cached=True)
            return Released.model_validate_json(stored.read_bytes())
        samples = [sample.request for sample in result.samples]

        def release() -> Released:
            folder, environ = self.home / "canary", self.settings.environ()
            bundle, tell = self._bundle(version), self.progress.update
            with trials(folder, self.model, bundle, environ, samples, tell, window) as found:
                found.try_version(f"{version.version}-hasty", "the same model with no patience for its features")
                found.try_version(f"{version.version}-rebuilt", "the same model, built again")
            return released(found, ResultFiles(self.settings.tables_uri).read(of_dataset(self.dataset.name), QUALITY))

        made = self._step("canary", "Release on live requests", release, detail=_released)
        write_whole(stored, made.model_dump_json())
        return made

    def _succeeds(self, version: RegisteredVersion, champion: RegisteredVersion) -> bool:
        """A repeated run must not bring back what has been replaced."""
        mine, theirs = datetime.fromisoformat(version.as_of), datetime.fromisoformat(champion.as_of)
        registered_now = any(step.name == "register-model" and not step.cached for step in self.steps)
        return mine > theirs or (mine == theirs and registered_now)

    def report(
        self,
        version: RegisteredVersion,
        record: RunRecord,
        docs: Path,
        result: Replay | None,
        canary: "Released | None" = None,
        month: Month | None = None,
    ) -> tuple[Path, Summary]:
        """Write the report, unless the one that is there says the same."""
        folder = self.home / "report"
        summary = self._summary(version, record, docs, result, canary, month)
        if is_reported(summary, folder):
            self._step("report", "Write the report", lambda: None, cached=True)
            return folder / PAGE, summary
        return self._step("report", "Write the report", lambda: write_report(summary, folder), detail=as_typed), summary

    def _summary(
        self,
        version: RegisteredVersion,
        record: RunRecord,
        docs: Path,
        result: Replay | None,
        canary: "Released | None",
        month: Month | None,
    ) -> Summary:
        fresh = MlflowRegistry(self.settings).resolve(version.model, version.version)
        return summarise(
            record,
            Circumstances(
                version=version.version,
                aliases=tuple(fresh.aliases),
                run_id=version.run_id,
                tracking_uri=self.settings.tracking_uri,
                started_at=self.started,
                seconds=(datetime.now(UTC) - self.started).total_seconds(),
                home=str(self.home),
                steps=tuple(self.steps),
                data_docs=_relative(docs / "index.html", self.home / "report"),
                bundle=self._bundle(version),
                replay=result,
                canary=canary.canary if canary else None,
                month=month.comparison if month else None,
                boards=tuple(part.boards for part in (canary, month) if part is not None),
                next=self._next_commands(fresh),
            ),
        )

    @property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.dataset.timezone)

    def _bundle(self, version: RegisteredVersion) -> Path:
        return open_bundles(self.settings.bundles_uri).folder(version.model, version.version)

    def _next_commands(self, version: RegisteredVersion) -> tuple[NextCommand, ...]:
        """What can be done with the version as it stands."""
        name = f"{version.model}@{version.version}"
        served = "at http://127.0.0.1:8080"
        if CHAMPION in version.aliases:
            first = [(f"serve {version.model}", f"serves the champion {served}")]
        elif version.status == "accepted":
            first = [
                (f"promote {name}", "makes this version the champion"),
                (f"publish {name}", "brings its features online, as known at its time"),
                (f"serve {name}", f"serves this version {served}"),
            ]
        else:
            first = []
        day = self.as_of.astimezone(self._zone).date()
        later = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        commands = [
            *first,
            (f"show {name}", "prints everything that made this version"),
            (f"reproduce {name}", "trains it again and compares the bytes"),
            (f"run {version.model} --as-of {later}", "trains a challenger a month later"),
        ]
        home = "" if self.home == Path(DEFAULT_HOME).resolve() else f" --home {self.home}"
        return tuple(NextCommand(command=f"{self.program} {words}{home}", does=does) for words, does in commands)

    def _run(self, pipeline: str, arguments: Mapping[str, Any]) -> Any:
        package = self.repo / "pipelines" / "compiled" / f"{pipeline}.yaml"
        return LocalPipelines(self.settings, self.home, self.python).run(package, arguments, self._on_event)

    def _on_event(self, event: StepEvent) -> None:
        title = self.titles.get(event.task, event.task)
        match event.kind:
            case "started":
                self._detail = ""
                self.progress.begin(event.task, title)
            case "progress":
                self._detail = event.text
                self.progress.update(event.text)
            case "cached":
                self.progress.begin(event.task, title)
                self._end(Step(name=event.task, title=title, seconds=event.seconds, cached=True))
            case "succeeded":
                self._end(Step(name=event.task, title=title, seconds=event.seconds, detail=self._detail))

    def _step(
        self,
        name: str,
        title: str,
        action: Callable[[], Made],
        *,
        cached: bool = False,
        detail: Callable[[Made], str] = lambda result: str(result or ""),
    ) -> Made:
        began = time.monotonic()
        self.progress.begin(name, title)
        # Of libraries about each other; a user can mend none of them. Recorded and not filtered: Feast, when it is
        # imported, puts a filter of its own before all others.
        with warnings.catch_warnings(record=True):
            result = action()
        text = "" if cached else detail(result)
        self._end(Step(name=name, title=title, seconds=time.monotonic() - began, cached=cached, detail=text))
        return result

    def _end(self, step: Step) -> None:
        self.steps.append(step)
        self.progress.end(step)


def as_of_date(day: date, dataset: DatasetSpec) -> datetime:
    """The beginning of a day where the data is from."""
    return midnight(day, dataset.timezone)


def _replayed(result: Replay) -> str:
    return (
        f"{result.answered:,} answers, ROC AUC {result.roc_auc:.3f}, |Δ| to offline ≤ {result.max_abs_difference:.1e}"
    )


def _released(made: "Released") -> str:
    return ", ".join(f"{trial.version} {trial.outcome} after {trial.seconds:.0f} s" for trial in made.canary.trials)


def _relative(target: Path, folder: Path) -> str | None:
    import os

    return Path(os.path.relpath(target, folder)).as_posix() if target.exists() else None
