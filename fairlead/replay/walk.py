"""A policy walked through the days: score, record, let labels arrive, watch, ask, brake, retrain, promote."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict

from fairlead.adapters.delta_records import DeltaRecords
from fairlead.adapters.retraining_log import MemoryLog
from fairlead.errors import TrainingError
from fairlead.files import whole_lines
from fairlead.packaging.session import ScoringSession
from fairlead.replay.learn import Trained, Trainer
from fairlead.replay.result import Retraining
from fairlead.replay.watch import Watch, evening, events
from fairlead.retraining.desk import Desk
from fairlead.retraining.entries import Answered, Asked, Ended, Entry
from fairlead.retraining.runs import Outcome
from fairlead.retraining.signals import Signals, tell
from fairlead.training.fit import as_columns
from fairlead.training.splits import midnight


class Day(BaseModel):
    """A day as it was lived: the line of a walk's file. A walk goes on behind its last whole line."""

    model_config = ConfigDict(frozen=True)

    day: date
    version: str
    """Who answered."""
    scores: tuple[float, ...]
    """Of the day's rows in the order of asking."""
    live: float | None = None
    promised: float | None = None
    novelty: float | None = None
    retraining: Retraining | None = None
    """In the evening."""
    champion: Trained
    """From the next morning on."""
    log: tuple[Entry, ...] = ()
    """What was written into the retraining log."""


class Policy(Protocol):
    """Decides in the evening whether to retrain."""

    def begin(self, at: datetime, champion: Trained) -> None:
        """Called once, before the first day."""
        ...

    def evening(self, day: date, champion: Trained) -> tuple[Signals | None, Retraining | None, Trained]:
        """What was seen, what was done, and who is the champion from now on."""
        ...


@dataclass
class Scheduled:
    """Retrains as of the beginning of given days, whatever happens."""

    trainer: Trainer
    days: frozenset[date]

    def begin(self, at: datetime, champion: Trained) -> None:
        """There is nothing to prepare."""

    def evening(self, day: date, champion: Trained) -> tuple[Signals | None, Retraining | None, Trained]:
        tomorrow = day + timedelta(days=1)
        if tomorrow not in self.days:
            return None, None, champion
        found = self.trainer.train(midnight(tomorrow, self.trainer.year.timezone), champion)
        done = Retraining(
            version=found.version, trigger="schedule", why="", accepted=found.accepted, reasons=found.reasons
        )
        return None, done, found if found.accepted else champion


@dataclass
class Platform:
    """Watches, asks, brakes, retrains: what `fairlead retraining act` does every night, in one process."""

    trainer: Trainer
    records: DeltaRecords
    desk: Desk
    _watch: Watch | None = None
    _watched: str = ""
    _trained: dict[str, Trained] = field(default_factory=dict)

    def begin(self, at: datetime, champion: Trained) -> None:
        """The first training is in the log, too: what cools down after a training cools down after this one."""
        run, person = "first", Asked(at=at, key="first", trigger="person", by="replay", why="the first model")
        answered = Answered(
            at=at, key=person.key, trigger="person", started=True, reason="free", detail="", new_labels=0, run=run
        )
        for entry in (person, answered, Ended(at=at, run=run, outcome="accepted", detail=champion.version)):
            self.desk.log.append(self.desk.model, entry, self.desk.state().entries)

    def evening(self, day: date, champion: Trained) -> tuple[Signals | None, Retraining | None, Trained]:
        year, model = self.trainer.year, self.trainer.model
        now = evening(day, year)
        if self._watch is None or self._watched != champion.version:
            self._watch, self._watched = Watch(year, model, champion, self.records), champion.version
        signals = self._watch.look(now)
        tell(self.desk, signals)
        new_labels = year.new_labels(champion.as_of, now)
        answered = next((item for item in self.desk.answer(now, new_labels) if item.started), None)
        if answered is None:
            return signals, None, champion
        runs = ReplayRuns(self.trainer, champion)
        self.desk.start(answered, runs, now, lambda: now)
        found = runs.trained
        if found is None:
            failed = Retraining(version="", trigger=answered.trigger, why=runs.error, accepted=False)
            return signals, failed, champion
        why = self.desk.state().asked[answered.key].why
        done = Retraining(
            version=found.version, trigger=answered.trigger, why=why, accepted=found.accepted, reasons=found.reasons
        )
        return signals, done, found if found.accepted else champion


class ReplayRuns:
    """`TrainingRuns` that train at once, as of the instant asked for."""

    def __init__(self, trainer: Trainer, champion: Trained) -> None:
        self._trainer, self._champion = trainer, champion
        self.trained: Trained | None = None
        self.error = ""

    def start(self, model: str, name: str, as_of: datetime) -> str:
        try:
            self.trained = self._trainer.train(as_of, self._champion)
        except TrainingError as error:
            self.error = str(error)
        return name

    def outcome(self, model: str, run_id: str) -> Outcome | None:
        if self.trained is None:
            return Outcome("failed", self.error)
        return Outcome("accepted" if self.trained.accepted else "refused", "; ".join(self.trained.reasons))


@dataclass
class Walk:
    """One policy through a range of days, kept line by line in a file."""

    trainer: Trainer
    policy: Policy
    file: Path
    log: MemoryLog
    records: DeltaRecords | None = None
    """Where the day's answers are recorded; None: nobody watches them."""
    _begun: int = 0
    """Entries of the log from before the first day: they go into its line."""

    def days(self, first: date, last: date, champion: Trained | None = None) -> list[Day]:
        """Live through the days that are not lived through yet; returns all.

        Args:
            first: the first day.
            last: the last day, included.
            champion: who answers at first; None: one that is trained as of the first day.
        """
        lived = _read(self.file)
        name = self.trainer.model.name
        for entry in (entry for day in lived for entry in day.log):
            self.log.append(name, entry, len(self.log.read(name)))
        if lived:
            champion = lived[-1].champion
        else:
            start = midnight(first, self.trainer.year.timezone)
            champion = champion or self.trainer.train(start, None)
            self.policy.begin(start, champion)
            self._begun = len(self.log.read(name))
        day = lived[-1].day + timedelta(days=1) if lived else first
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("ab") as file:
            file.truncate(whole_lines(self.file.read_bytes()))
            while day <= last:
                found = self._live(day, champion, is_last=day == last)
                file.write(found.model_dump_json().encode() + b"\n")
                file.flush()
                lived.append(found)
                champion, day = found.champion, day + timedelta(days=1)
        return lived

    def _live(self, day: date, champion: Trained, *, is_last: bool) -> Day:
        session = _session(champion)
        rows = self.trainer.year.asked_on(day)
        matrix = session.bundle.signature.matrix(as_columns(rows, session.bundle.signature))
        scores = session.scores(matrix)
        name = self.trainer.model.name
        before = len(self.log.read(name)) - self._begun
        self._begun = 0
        if self.records is not None and len(rows):
            self.records.add(name, events(rows, session, matrix, scores))
        # What would be trained on the last evening would answer nobody.
        nothing = None, None, champion
        signals, done, following = nothing if is_last else self.policy.evening(day, champion)
        decay = signals.decay if signals else None
        return Day(
            day=day,
            version=champion.version,
            scores=tuple(np.round(scores.astype(np.float64), 7)),
            live=decay.live if decay else None,
            promised=decay.promised if decay else None,
            novelty=signals.novelty if signals else None,
            retraining=done,
            champion=following,
            log=tuple(self.log.read(name)[before:]),
        )


def _session(champion: Trained) -> ScoringSession:
    session = ScoringSession.open(champion.folder)
    session.bundle = session.bundle.model_copy(update={"version": champion.version})
    return session


def _read(file: Path) -> list[Day]:
    content = file.read_bytes() if file.exists() else b""
    return [Day.model_validate_json(line) for line in content[: whole_lines(content)].splitlines()]
