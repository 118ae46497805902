"""Releases that labels decide: a real repository, real records in Delta tables, labels from a dataset's source."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from fairlead.adapters.delta_records import DeltaRecords
from fairlead.cli.rollout_parts import Parts
from fairlead.records.reading import PredictionData, PredictionEvent
from fairlead.records.record import EVENT_TYPE
from fairlead.rollout.status import status_of
from tests.contracts.test_release_counters import OfTheGateway
from tests.contracts.test_releases_in_git import repository
from tests.unit import training_example as example
from tests.unit.rollout_world import MODEL, NOW, World

AB = {
    "strategy": "ab", "steps": [50], "quality": {"margin": 0.05},
    "shadow_minutes": 0, "warm_up_seconds": 0, "latency": None,
}  # fmt: skip
SHADOW = {"strategy": "shadow", "answers": {"tolerance": 0.05}, "latency": None}
BEGIN = NOW + timedelta(hours=1)
"""When the candidate comes: `World.hour` is before it."""
SECONDS = 0.5
"""From one request to the next."""
REQUESTS = 3000
LABEL_SECONDS = 60
"""From a request to its label."""


@dataclass
class Loop:
    """A checkout with a small dataset, and a home."""

    checkout: Path
    home: Path
    begin: datetime = BEGIN

    def __post_init__(self) -> None:
        rng = np.random.default_rng(5)
        self.chances = rng.beta(1, 2, REQUESTS)
        self.late = rng.random(REQUESTS) < self.chances
        self._declare()

    @property
    def source(self) -> Path:
        return self.checkout / "trips.csv"

    def asked_at(self, number: int) -> datetime:
        return self.begin + timedelta(seconds=SECONDS * (number + 1))

    def _declare(self) -> None:
        stated = json.loads(example.dataset().model_dump_json(exclude_unset=True))
        trips = stated["tables"]["trips"]
        trips["columns"] = {"id": "int64", "left_at": "timestamp", "arrived_at": "timestamp", "late": "bool"}
        trips.pop("derived")
        trips["source"]["uri"] = self.source.as_uri()
        model = json.loads(example.model(MODEL).model_dump_json(exclude_unset=True))
        files = {"feature_repo/trips/dataset.yaml": stated, f"pipelines/models/{MODEL}.yaml": model}
        for name, content in files.items():
            (self.checkout / name).parent.mkdir(parents=True, exist_ok=True)
            (self.checkout / name).write_text(json.dumps(content))
        rows = ["id,left_at,arrived_at,late"]
        for number, late in enumerate(self.late):
            asked = self.asked_at(number)
            moments = [moment.isoformat() for moment in (asked, asked + timedelta(seconds=LABEL_SECONDS))]
            rows.append(f"{number},{','.join(moments)},{str(bool(late)).lower()}")
        self.source.write_text("\n".join(rows) + "\n")

    def answers(self, candidate: Callable[[np.ndarray], np.ndarray], *, copies: bool = False) -> None:
        """Every request has an answer of one arm, or with `copies` of both."""
        scores = {"3": self.chances, "4": candidate(self.chances)}
        drawn = np.random.default_rng(6).random(REQUESTS) < 0.5
        events = []
        for number in range(REQUESTS):
            for version in ("3", "4"):
                if copies or drawn[number] == (version == "4"):
                    mirrored = copies and version == "4"
                    events.append(self._event(number, version, float(scores[version][number]), mirrored))
        DeltaRecords(str(self.home / "tables")).add(MODEL, events)

    def _event(self, number: int, version: str, score: float, mirrored: bool) -> PredictionEvent:
        data = PredictionData(
            model=MODEL, version=version, request_id=str(number), rows=1, scores=[score], decisions=[score > 0.5],
            latency_ms=1, status=200, mirrored=mirrored,
        )  # fmt: skip
        name, at = f"{number}-{version}", self.asked_at(number)
        return PredictionEvent(specversion="1.0", type=EVENT_TYPE, source="/models/m", id=name, time=at, data=data)

    def world(self, remote: Path) -> World:
        """The controller of the commands; only its counts and its clock are made up."""
        parts = Parts(self.home, str(remote), "main", "dev")
        controller = parts.controller()
        world = World(controller.repository)
        world.controller = replace(
            controller, counters=world.counters, clock=lambda: world.now, gated=lambda model: {"3", "4"}
        )
        return world


@pytest.fixture
def loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loop:
    monkeypatch.setenv("FAIRLEAD_REPO", str(tmp_path / "checkout"))
    return Loop(tmp_path / "checkout", tmp_path / "home")


def worse(chances: np.ndarray) -> np.ndarray:
    return np.clip(chances + 0.5, 0, 1)


def as_good(chances: np.ndarray) -> np.ndarray:
    return np.clip(chances + 0.01, 0, 1)


def released(loop: Loop, tmp_path: Path, rollout: dict[str, object]) -> World:
    world = loop.world(repository(tmp_path, "dev", **rollout))
    world.hour()
    world.start()
    assert world.now == loop.begin
    return world


def test_a_candidate_that_is_worse_by_labels_is_rolled_back_with_the_figures_in_the_commit(loop, tmp_path):
    loop.answers(worse)
    world = released(loop, tmp_path, AB)
    [*_, look] = world.until("rolled_back", "promoted", "asked")
    assert look.result == "rolled_back"
    message = world.messages()[-1]
    assert "The candidate's answers are worse than stable's: mean loss 0." in message
    assert "quality: mean loss" in message
    assert "recorded answers are known" in message


def test_a_candidate_that_is_as_good_is_promoted(loop, tmp_path):
    loop.answers(as_good)
    world = released(loop, tmp_path, AB)
    looks = world.until("rolled_back", "promoted", "asked")
    assert looks[-1].result == "promoted"
    assert any("waits for labels" in look.reason for look in looks)
    assert "for no harm, decided at 20" in world.messages()[-1]


def test_without_its_labels_a_release_waits_says_so_and_a_person_is_asked(loop, tmp_path):
    loop.answers(as_good)
    loop.source.unlink()
    world = released(loop, tmp_path, AB)
    [*looks, last] = world.until("rolled_back", "promoted", "asked")
    assert last.result == "asked"
    assert last.release.weight == 50
    waited = [look for look in looks if look.result == "nothing"]
    assert all("trips.csv" in look.unavailable for look in waited)
    assert "trips.csv" in last.release.waiting


def test_in_the_shadow_both_answers_to_a_request_are_compared(loop, tmp_path):
    loop.answers(lambda chances: np.where(np.arange(REQUESTS) % 10, chances, 1.0), copies=True)
    world = released(loop, tmp_path, SHADOW)
    for _ in range(15):
        world.window()
    shown = status_of(world.controller, MODEL).answers.comparison
    assert shown is not None
    assert shown.pairs == 15 * 30 / SECONDS
    assert shown.share == pytest.approx(0.1, abs=0.01)
    world.until("settled")
    assert "copies (10.00%) differ from stable's by more than 0.05" in world.messages()[-1]


def test_labelled_copies_are_pairs(loop, tmp_path):
    loop.answers(worse, copies=True)
    world = released(loop, tmp_path, {"quality": {}, "latency": None})
    [*_, look] = world.until("rolled_back", "promoted", "asked")
    assert (look.result, look.decision.elapsed_minutes <= 10) == ("rolled_back", True)


def test_the_commands_show_quality_and_act_on_it(tmp_path, monkeypatch):
    monkeypatch.setenv("FAIRLEAD_REPO", str(tmp_path / "checkout"))
    loop = Loop(tmp_path / "checkout", tmp_path / "home", datetime.now(UTC) - timedelta(minutes=30))
    loop.answers(worse)
    remote = repository(tmp_path, "dev", **AB)
    world = loop.world(remote)
    world.now = loop.begin
    world.start()
    gateway = OfTheGateway(tmp_path)
    place = {"FAIRLEAD_RELEASES": str(remote), "FAIRLEAD_ENVIRONMENT": "dev", "FAIRLEAD_HOME": str(loop.home)}
    place |= {"FAIRLEAD_GATEWAY": f"http://{gateway.server.address}"}

    def fairlead(*words: str) -> str:
        command = [str(Path(sys.executable).with_name("fairlead")), "rollout", *words]
        done = subprocess.run(command, env={**os.environ, **place}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    found = json.loads(fairlead("status", MODEL, "--json"))
    assert found["quality"]["verdict"] == "worse"
    assert found["labels_known"] == REQUESTS
    assert found["next"] == "all requests go to stable"
    assert "quality: mean loss" in fairlead("status", MODEL)
    fairlead("watch", "--once")
    assert json.loads(fairlead("status", MODEL, "--json"))["stage"] == "rolled_back"
    gateway.leave()
