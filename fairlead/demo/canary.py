"""A real canary on one machine: servers behind the local gateway, live requests, a broken version and a good one."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from fairlead.adapters.gateway_counters import GatewayCounters
from fairlead.adapters.git import GitBranch
from fairlead.demo.laptop import Laptop
from fairlead.demo.scrape import Scraper
from fairlead.demo.traffic import Traffic
from fairlead.monitors.results import Result
from fairlead.packaging.bundle import load_bundle, release_bundle, write_bundle
from fairlead.panels.fill import fill
from fairlead.panels.shown import Boards
from fairlead.render.dashboards import boards
from fairlead.report.summary import Canary, CanaryCommit, CanaryCurve, CanaryTrial
from fairlead.rollout.control import Controller, Look
from fairlead.rollout.decide import Decision
from fairlead.rollout.file import release_path
from fairlead.rollout.laptop import BRANCH, ENVIRONMENT, make_repository
from fairlead.rollout.stages import Abort, Start
from fairlead.rollout.status import curves_of
from fairlead.rollout.telemetry import Telemetry
from fairlead.spec.model import ModelSpec

RATE = 100.0
"""Requests a second."""
HOUR_WINDOWS = 30
"""Of requests to stable alone, before anything is tried: more than the 20 windows that its usual is known by."""
STAGE_WINDOWS = 12
"""That a shadow, or a step of a canary, lasts at least."""
MOST_SECONDS = 120
"""Of one trial; it takes 5 to 45."""
WINDOW_SECONDS = 1.0
"""How often the controller looks; the whole then takes over a minute."""
QUICK_WINDOW_SECONDS = 0.5
"""The same in a hurry."""
PATIENCE_MS = 2000
"""Deadline of a look-up of features, for the sound versions: a busy machine is no fault of theirs."""
HASTE_MS = 0.05
"""The broken version's: no store answers in that."""

Tell = Callable[[str], None]


def compressed(model: ModelSpec, window_seconds: float) -> ModelSpec:
    """Short windows in place of those of 30 seconds, and times to match; the statistics are those of every rollout."""
    stage_minutes = STAGE_WINDOWS * window_seconds / 60
    changed = {
        "shadow_minutes": stage_minutes,
        "steps": [25, 50],
        "window_seconds": window_seconds,
        "warm_up_seconds": 0,
        "min_minutes": stage_minutes,
        "min_requests": 200,
        "errors": {"margin": 2.0, "floor": 0.01},
        # Three servers share the cores of one machine with the requests: their latencies tell of the machine.
        "latency": None,
        "deadline_minutes": 10,
    }
    rollout = model.rollout.model_validate({**model.rollout.model_dump(), **changed})
    return model.model_copy(update={"rollout": rollout})


@dataclass
class Trials:
    """What is needed to try versions, and what came of it."""

    model: ModelSpec
    laptop: Laptop
    traffic: Traffic
    controller: Controller
    repository: GitBranch
    scraper: Scraper
    telemetry: Telemetry
    tell: Tell
    done: list[CanaryTrial] = field(default_factory=list)

    def try_version(self, version: str, what: str) -> CanaryTrial:
        """Start a release and look at every window until it ends, well or not; one that takes too long is aborted."""
        self.tell(f"the server of {version} starts")
        self.laptop.serve("candidate", version)
        name, began, before = self.model.name, time.monotonic(), self.traffic.counts()
        place = self.controller.place(name)
        run = f"bundle of version {version}, gates of the champion"
        event = Start(at=_now(), revision=place.release.revision, version=version, run=run)
        look = self.controller.apply(place, event)
        self.telemetry.looked(name, look)
        self.laptop.apply(look.release)
        decision: Decision | None = None
        while look.release.stage not in ("idle", "rolled_back"):
            time.sleep(self.model.rollout.window_seconds)
            look = self._look(late=time.monotonic() - began > MOST_SECONDS)
            self.telemetry.looked(name, look)
            decision = look.decision or decision
            self.tell(_told(look))
            self.laptop.apply(look.release)
        after = self.traffic.counts()
        trial = CanaryTrial(
            version=version,
            what=what,
            outcome=_outcome(look, version, late=time.monotonic() - began > MOST_SECONDS),
            seconds=time.monotonic() - began,
            requests=after.requests - before.requests,
            failed=after.failed - before.failed,
            answered=decision.signals[0].candidate_requests if decision else 0,
            answers_failed=decision.signals[0].candidate if decision else 0,
            curves=_curves(decision),
        )
        self.done.append(trial)
        return trial

    def _look(self, *, late: bool) -> Look:
        look = self.controller.look(self.model.name)
        if not late or look.release.stage not in ("shadow", "canary"):
            return look
        place = self.controller.place(self.model.name)
        reason = f"undecided after {MOST_SECONDS} s: this machine is too busy for a demo"
        return self.controller.apply(
            place, Abort(at=_now(), revision=place.release.revision, by="the demo", reason=reason)
        )


@contextmanager
def trials(
    home: Path,
    model: ModelSpec,
    bundle: Path,
    environ: Mapping[str, str],
    samples: Sequence[Mapping[str, Any]],
    tell: Tell,
    window_seconds: float,
) -> Iterator[Trials]:
    """Serve a bundle as stable, behind a gateway, with requests going on and a controller over a new repository.

    Args:
        home: a folder of its own; what an earlier run left there goes.
        model: whose release it is.
        bundle: the champion's.
        environ: variables of the servers.
        samples: requests to send, with `asked_at`.
        tell: hears how far it is.
        window_seconds: how often the controller looks.
    """
    shutil.rmtree(home, ignore_errors=True)
    spec = compressed(model, window_seconds)
    stable = str(load_bundle(bundle).version)
    make_repository(home / "releases.git", model.name, _yaml(spec), stable, _now())
    for version, deadline in ((stable, PATIENCE_MS), (f"{stable}-hasty", HASTE_MS), (f"{stable}-rebuilt", PATIENCE_MS)):
        _release(bundle, home / "bundles" / version, deadline)
    repository = GitBranch(str(home / "releases.git"), BRANCH, home / "clone.git")
    with ExitStack() as stack:
        laptop = stack.enter_context(Laptop.run(home, model.name, dict(environ), stable))
        counters = GatewayCounters(laptop.metrics_url, home / "counters.jsonl", laptop.services)
        versions = {path.name for path in (home / "bundles").iterdir()}
        controller = Controller(repository, BRANCH, ENVIRONMENT, counters, gated=lambda name: versions)
        telemetry = Telemetry(ENVIRONMENT)
        telemetry.reached(True)
        targets = {"gateway": laptop.metrics_url, **laptop.services}
        scraper = Scraper(targets, {"controller": telemetry.registry})
        traffic = stack.enter_context(Traffic.run(laptop.url, model.name, samples, RATE))
        stack.enter_context(scraper.running())
        found = Trials(spec, laptop, traffic, controller, repository, scraper, telemetry, tell)
        laptop.serve("candidate", f"{stable}-hasty")  # meanwhile; nobody asks it yet
        for done in range(HOUR_WINDOWS):
            counters.look()
            tell(f"{(HOUR_WINDOWS - done) * window_seconds:.0f} s of requests to stable alone, for its usual")
            time.sleep(window_seconds)
        yield found


class Released(BaseModel):
    """Trials that are over."""

    canary: Canary
    boards: Boards
    """The dashboards, as they looked meanwhile."""


def released(found: Trials, gate: Result | None) -> Released:
    """What the report shows; once no more requests are sent.

    Args:
        found: the trials.
        gate: what the quality gate of the model's dataset found last; it stands meanwhile.
    """
    recording = found.scraper.recording()
    recording.add_figures(recording.instants(), gate.metrics if gate else {})
    return Released(canary=_canary_of(found), boards=fill(boards(found.model), recording))


def _canary_of(found: Trials) -> Canary:
    path = release_path(ENVIRONMENT, found.model.name).as_posix()
    changes = found.repository.changes(found.repository.head(), path, 100)
    commits = [
        CanaryCommit(commit=item.commit[:10], at=item.at, subject=subject, body=body.strip())
        for item in reversed(changes)
        for subject, _, body in [item.message.partition("\n")]
    ]
    window = found.model.rollout.window_seconds
    requests = found.traffic.counts().requests
    return Canary(rate=RATE, requests=requests, window_seconds=window, trials=tuple(found.done), commits=tuple(commits))


def _release(bundle: Path, target: Path, deadline_ms: float) -> None:
    """The same model under another version, with another deadline for its look-ups."""
    made = release_bundle(bundle, target, target.name)
    features = made.serving.features.model_copy(update={"deadline_ms": deadline_ms})
    write_bundle(made.model_copy(update={"serving": made.serving.model_copy(update={"features": features})}), target)


def _curves(decision: Decision | None) -> tuple[CanaryCurve, ...]:
    if decision is None:
        return ()
    return tuple(
        CanaryCurve(signal=one.signal, of=one.of, values=_finite(one.values), threshold=max(one.threshold, 0.0))
        for one in curves_of(decision)
    )


def _finite(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(max(-20.0, min(value, 50.0)) for value in values)


def _outcome(look: Look, version: str, *, late: bool) -> str:
    if look.release.stable == version:
        return "promoted"
    return "undecided" if late else "rolled back"


def _told(look: Look) -> str:
    release = look.release
    share = f"copies of {release.mirror}%" if release.mirror else f"{release.weight}%"
    return f"{release.stage.replace('_', ' ')}, {share}" if release.candidate else release.stage.replace("_", " ")


def _yaml(model: ModelSpec) -> str:
    return yaml.safe_dump(model.model_dump(mode="json", exclude_none=False), sort_keys=False)


def _now() -> datetime:
    return datetime.now(UTC)
