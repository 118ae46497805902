"""A repository with a release, servers whose counters rise with a clock, and a controller between the two."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML

from fairlead.adapters.memory_counters import MemoryCounters, MemoryServer
from fairlead.ports import ReleaseRepository
from fairlead.rollout.control import Controller, Look
from fairlead.rollout.file import release_path, render_release
from fairlead.rollout.release import Release
from fairlead.rollout.stages import Start
from fairlead.spec.environment import EnvironmentSpec
from fairlead.spec.load import load_text

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
REPO = Path(__file__).resolve().parents[2]
MODEL = "flight-delay"


def first_files(environment: str = "dev", stable: str = "3", **rollout: object) -> dict[str, str]:
    """What a controller reads, with a release at `stable`."""
    source = REPO / "manifests" / "envs" / environment / "environment.yaml"
    spec = YAML(typ="safe").load((REPO / "pipelines" / "models" / f"{MODEL}.yaml").read_text())
    spec["rollout"] = {**spec["rollout"], **rollout}
    settings = load_text(source.read_text(), source, EnvironmentSpec)
    release = Release(model=MODEL, stable=stable, since=NOW - timedelta(days=1))
    return {
        f"manifests/envs/{environment}/environment.yaml": source.read_text(),
        f"pipelines/models/{MODEL}.yaml": json.dumps(spec),
        release_path(environment, MODEL).as_posix(): render_release(release, settings),
    }


@dataclass
class World:
    """Time passes in windows; what the release says decides which server answers how many requests."""

    repository: ReleaseRepository
    environment: str = "dev"
    per_window: int = 3000
    """Requests to the whole service."""
    seconds: float = 30
    counters: MemoryCounters = field(default_factory=MemoryCounters)
    now: datetime = NOW
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))
    error_rates: dict[str, float] = field(default_factory=lambda: {"stable": 0.005, "candidate": 0.005})
    silent: set[str] = field(default_factory=set)
    """Arms whose requests no server sees."""

    def __post_init__(self) -> None:
        self.counters.servers = {
            "s1": MemoryServer("stable", "3"), "c1": MemoryServer("candidate", "4"), "m1": MemoryServer("copies", "4")
        }  # fmt: skip
        self.controller = self.another()

    def another(self, repository: ReleaseRepository | None = None, **fields) -> Controller:
        """A controller as after a restart, or beside the first."""
        options = {"gated": lambda model: {"3", "4"}, "clock": lambda: self.now, **fields}
        return Controller(repository or self.repository, "main", self.environment, self.counters, **options)

    @property
    def release(self) -> Release:
        return self.controller.place(MODEL).release

    def hour(self) -> None:
        """Stable's hour before."""
        self.counters.keep(self.now)
        for _ in range(120):
            self.window()

    def window(self) -> None:
        """Requests are answered as the release says, and time passes."""
        release = self.release_now
        self._count("s1", "stable", self.per_window * (100 - release.weight) // 100)
        self._count("c1", "candidate", self.per_window * release.weight // 100)
        self._count("m1", "candidate", self.per_window * release.mirror // 100)
        self.now += timedelta(seconds=self.seconds)
        self.counters.keep(self.now)

    @property
    def release_now(self) -> Release:
        return self._release if hasattr(self, "_release") else Release(model=MODEL, stable="3", since=NOW)

    def start(self, version: str = "4") -> None:
        place = self.controller.place(MODEL)
        event = Start(at=self.now, revision=place.release.revision, version=version, run="mlflow run 17")
        self._release = self.controller.apply(place, event).release

    def look(self, controller: Controller | None = None) -> Look:
        look = (controller or self.controller).look(MODEL)
        self._release = look.release
        return look

    def until(self, *results: str, most: int = 300) -> list[Look]:
        """Windows and looks until a look has one of the results."""
        looks = []
        for _ in range(most):
            self.window()
            looks.append(self.look())
            if looks[-1].result in results:
                return looks
        raise AssertionError(f"none of {results} in {most} looks; the last: {looks[-1]}")

    def _count(self, name: str, arm: str, requests: int) -> None:
        server = self.counters.servers.get(name)
        if server is None or arm in self.silent:
            return
        bad = int(self.rng.binomial(requests, self.error_rates[arm]))
        slow = int(self.rng.binomial(requests, 0.05))
        server.answer(500, 0.004, bad)
        server.answer(200, 0.012, max(0, slow))
        server.answer(200, 0.004, max(0, requests - bad - slow))

    @property
    def path(self) -> str:
        return release_path(self.environment, MODEL).as_posix()

    def text(self) -> str:
        return self.repository.read(self.repository.head(), self.path) or ""

    def by_person(self, change: Callable[[str], str], message: str = "By hand") -> None:
        """Somebody edits the release."""
        text = change(self.text())
        assert text != self.text(), "the edit changes nothing"
        self.repository.commit(self.path, text, message, seen=self.repository.head())

    def revert_last(self) -> None:
        """As `git revert` does."""
        _, before, *_ = self.repository.changes(self.repository.head(), self.path, 2)
        self.by_person(lambda text: self.repository.read(before.commit, self.path) or "", 'Revert "…"')

    def messages(self) -> list[str]:
        """Of all commits to the release, oldest first."""
        found = self.repository.changes(self.repository.head(), self.path, 1000)
        return [change.message for change in reversed(found)][1:]
