"""The desk at which retrainings are asked for: keeps the log, asks the brakes, starts runs and hears of their end."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from fairlead.errors import BackendDownError, FairleadError, RetrainingError
from fairlead.ports import RetrainingLog, TrainingRuns
from fairlead.retraining.brakes import Run, State, decide, lost, read_state
from fairlead.retraining.entries import Answered, Asked, Began, Ended, Entry, Held, Released, Withdrawn
from fairlead.spec.retraining import RetrainingSpec

TRIES = 20
"""How often an entry is tried against other writers of the same log."""


@dataclass(frozen=True)
class Desk:
    """Retraining of one model. Several processes may sit here: an entry goes in only behind those it was decided on."""

    model: str
    spec: RetrainingSpec
    log: RetrainingLog

    def state(self) -> State:
        """As the log has it now."""
        return read_state(self.log.read(self.model))

    def ask(self, asked: Asked) -> bool:
        """Put a request into the log, unless it is there; returns whether it is new."""

        def entry(state: State) -> Asked | None:
            return None if asked.key in state.asked else asked

        return self._write(entry) is not None

    def withdraw(self, key: str, at: datetime) -> bool:
        """Take back a request that stands; returns whether one did."""

        def entry(state: State) -> Withdrawn | None:
            return Withdrawn(at=at, key=key) if key in (*state.open, *state.served) else None

        return self._write(entry) is not None

    def hold(self, held: Held) -> None:
        """Refuse everything from now on."""
        self._write(lambda state: held)

    def release(self, released: Released) -> None:
        """End a hold and a back-off."""
        self._write(lambda state: released)

    def answer(self, now: datetime, new_labels: int) -> list[Answered]:
        """Answer what waits, in the order of asking; what stands is answered again when the answer has changed.

        At most one of the answers starts a run: `start` is to be called for it.
        """
        given = []
        for key in self.state().open:
            found = self._write(partial(self._answer, key=key, now=now, new_labels=new_labels))
            if isinstance(found, Answered):
                given.append(found)
        return given

    def start(self, answered: Answered, runs: TrainingRuns, as_of: datetime, clock: Callable[[], datetime]) -> None:
        """Start the run that an answer names, and tell the log.

        Raises:
            FairleadError: the backend does not take it; the log says that the run has failed.
        """
        try:
            run_id = runs.start(self.model, answered.run, as_of)
        except FairleadError as error:
            failed = Ended(at=clock(), run=answered.run, outcome="failed", detail=str(error))
            self._write(lambda state: failed)
            raise
        began = Began(at=clock(), run=answered.run, run_id=run_id)
        self._write(lambda state: began)
        self.settle(runs, clock())

    def settle(self, runs: TrainingRuns, now: datetime) -> Ended | None:
        """Look whether the run under way is over; where the backend does not answer it is looked for again later."""
        state = self.state()
        if state.running is None:
            return None
        ended = self._end(state.running, runs, now)
        if ended is None and lost(self.spec, state, now):
            detail = f"nothing was heard of it for {self.spec.longest_run}"
            ended = Ended(at=now, run=state.running.name, outcome="failed", detail=detail)
        if ended is not None:
            told = ended
            self._write(lambda state: told if state.running and state.running.name == told.run else None)
        return ended

    def _end(self, run: Run, runs: TrainingRuns, now: datetime) -> Ended | None:
        try:
            found = runs.outcome(self.model, run.run_id) if run.run_id is not None else None
        except BackendDownError:
            return None
        return Ended(at=now, run=run.name, outcome=found.kind, detail=found.detail) if found else None

    def _answer(self, state: State, key: str, now: datetime, new_labels: int) -> Answered | None:
        if key not in state.open:
            return None
        asked, before = state.asked[key], state.answers.get(key)
        found = decide(self.spec, state, asked, now, new_labels)
        if before is not None and not found.starts and before.reason == found.reason:
            return None
        answered = Answered(
            at=now,
            key=key,
            trigger=asked.trigger,
            started=found.starts,
            reason=found.reason,
            detail=found.detail,
            until=found.until,
            new_labels=new_labels,
        )
        return _named(answered, self.model, state) if found.starts else answered

    def _write(self, entry: "Callable[[State], Entry | None]") -> Entry | None:
        """Append what `entry` makes of the newest state; anew where somebody else was faster."""
        for _ in range(TRIES):
            state = self.state()
            made = entry(state)
            if made is None or self.log.append(self.model, made, state.entries):
                return made
        raise RetrainingError(f"the log of {self.model} is written by others all the time: {TRIES} tries")


def _named(answered: Answered, model: str, state: State) -> Answered:
    """With the name of its run: the same request, answered twice, names the same run."""
    return answered.model_copy(update={"run": f"retrain-{model}-{len(state.starts) + 1}"})
