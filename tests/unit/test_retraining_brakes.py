"""The brakes: whatever is asked, and whenever, the rules hold."""

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead import metrics as catalogue
from fairlead.adapters.retraining_log import MemoryLog
from fairlead.errors import BackendDownError, PipelineError
from fairlead.retraining.brakes import decide, phase, read_state, runs_in_month
from fairlead.retraining.desk import Desk
from fairlead.retraining.entries import Answered, Asked, Ended, Entry, Held, Released
from fairlead.retraining.figures import figures
from fairlead.retraining.runs import Outcome
from fairlead.spec.retraining import RetrainingSpec

START = datetime(2013, 3, 1, tzinfo=UTC)
SPEC = RetrainingSpec(cool_down="7d", min_new_labels=100, max_runs_a_month=3, max_runs_a_year=8)  # type: ignore[arg-type]
PLENTY = 10_000


def asked(key: str = "a", at: datetime = START, **changes: object) -> Asked:
    return Asked.model_validate({"at": at, "key": key, "trigger": "decay", "by": "ModelDecay", **changes})


class Runs:
    """Runs that end as they are told to, at once."""

    def __init__(self, outcome: Outcome | None = None, error: Exception | None = None) -> None:
        self.outcome_of_all, self.error, self.started = outcome, error, list[str]()

    def start(self, model: str, name: str, as_of: datetime) -> str:
        if self.error:
            raise self.error
        self.started.append(name)
        return f"id-{name}"

    def outcome(self, model: str, run_id: str) -> Outcome | None:
        return self.outcome_of_all


GOOD, BAD = Outcome("accepted"), Outcome("failed", "step train-model failed")


def desk(spec: RetrainingSpec = SPEC) -> Desk:
    return Desk("m", spec, MemoryLog())


def pass_by(at_desk: Desk, runs: Runs, now: datetime, labels: int = PLENTY) -> list[Answered]:
    """What a controller does at every look."""
    at_desk.settle(runs, now)
    answers = at_desk.answer(now, labels)
    for answered in answers:
        if answered.started:
            with contextlib.suppress(PipelineError):
                at_desk.start(answered, runs, now, lambda: now)
    return answers


def test_a_request_that_nothing_stands_against_starts_one_run_and_its_end_is_told() -> None:
    at_desk, runs = desk(), Runs(GOOD)
    at_desk.ask(asked())
    answers = pass_by(at_desk, runs, START)
    assert [(item.started, item.reason) for item in answers] == [(True, "free")]
    assert runs.started == ["retrain-m-1"]
    state = at_desk.state()
    assert (state.running, state.last_success, state.failures) == (None, START, 0)


@pytest.mark.parametrize(
    ("prepare", "labels", "reason"),
    [
        (lambda at_desk: at_desk.hold(Held(at=START, by="ann", why="broken sensor")), PLENTY, "held"),
        (lambda at_desk: None, 99, "few_labels"),
        (lambda at_desk: at_desk.ask(asked("x")) and at_desk.answer(START, PLENTY), PLENTY, "running"),
    ],
)
def test_a_refusal_names_its_reason(prepare: Callable[[Desk], None], labels: int, reason: str) -> None:
    at_desk = desk()
    prepare(at_desk)
    at_desk.ask(asked())
    refused = [item for item in at_desk.answer(START, labels) if not item.started]
    assert [item.reason for item in refused] == [reason]


def test_what_a_model_does_not_listen_to_is_refused_but_a_person_is_heard() -> None:
    at_desk = desk(SPEC.model_copy(update={"on": ["decay"]}))
    at_desk.ask(asked("d", trigger="drift"))
    at_desk.ask(asked("p", trigger="person"))
    assert [item.reason for item in at_desk.answer(START, PLENTY)] == ["not_listened_to", "free"]


def test_an_alert_repeated_for_a_day_starts_one_retraining_and_writes_no_more() -> None:
    at_desk, runs = desk(), Runs(GOOD)
    for minute in range(0, 24 * 60, 5):
        now = START + timedelta(minutes=minute)
        at_desk.ask(asked("fingerprint@startsAt", at=now, standing=True))
        pass_by(at_desk, runs, now)
    assert runs.started == ["retrain-m-1"]
    assert len(at_desk.log.read("m")) == 4  # asked, answered, began, ended


def test_an_alert_that_still_fires_when_the_cool_down_is_over_gets_its_retraining_then() -> None:
    at_desk, runs = desk(), Runs(GOOD)
    at_desk.ask(asked("first"))
    pass_by(at_desk, runs, START)
    at_desk.ask(asked("second", standing=True))
    for hour in range(1, 8 * 24):
        pass_by(at_desk, runs, START + timedelta(hours=hour))
    answers = [entry for entry in at_desk.log.read("m") if isinstance(entry, Answered)]
    assert [(item.reason, item.at - START) for item in answers] == [
        ("free", timedelta(0)),
        ("cooling_down", timedelta(hours=1)),
        ("free", timedelta(days=7)),
    ]


def test_an_alert_that_resolves_while_it_waits_is_forgotten() -> None:
    at_desk, runs = desk(), Runs(GOOD)
    at_desk.ask(asked("first"))
    pass_by(at_desk, runs, START)
    at_desk.ask(asked("second", standing=True))
    pass_by(at_desk, runs, START + timedelta(days=1))
    at_desk.withdraw("second", START + timedelta(days=2))
    assert pass_by(at_desk, runs, START + timedelta(days=9)) == []


def test_three_failures_in_a_row_back_off_for_a_week_instead_of_a_loop() -> None:
    at_desk, runs = desk(SPEC.model_copy(update={"max_runs_a_month": 99})), Runs(BAD)
    for hour in range(10 * 24):
        now = START + timedelta(hours=hour)
        at_desk.ask(asked(f"alert-{hour // 12}", at=now, standing=True))
        pass_by(at_desk, runs, now)
    starts = at_desk.state().starts
    assert [start - START for start in starts[:3]] == [timedelta(hours=hour) for hour in (0, 1, 2)]
    assert starts[3] - starts[2] == timedelta(days=7)
    assert len(starts) == 4
    assert at_desk.state().failures == 4
    assert phase(at_desk.spec, at_desk.state(), START + timedelta(days=10)) == "backing_off"


def test_an_alert_whose_run_fails_is_served_again_after_a_while_until_the_back_off() -> None:
    at_desk, runs = desk(SPEC.model_copy(update={"max_runs_a_month": 99})), Runs(BAD)
    at_desk.ask(asked("fingerprint@startsAt", standing=True))
    for minute in range(0, 6 * 60, 10):
        pass_by(at_desk, runs, START + timedelta(minutes=minute))
    assert [start - START for start in at_desk.state().starts] == [timedelta(hours=hour) for hour in (0, 1, 2)]
    assert at_desk.state().open == ("fingerprint@startsAt",)


def test_an_alert_whose_model_the_gates_refuse_is_served_again_after_the_cool_down() -> None:
    at_desk, runs = desk(), Runs(Outcome("refused", "roc_auc >= 0.6"))
    at_desk.ask(asked("a", standing=True))
    for hour in range(8 * 24):
        pass_by(at_desk, runs, START + timedelta(hours=hour))
    assert [start - START for start in at_desk.state().starts] == [timedelta(0), timedelta(days=7)]


def test_an_alert_that_resolves_while_its_run_fails_is_not_served_again() -> None:
    at_desk, runs = desk(), Runs(None)
    at_desk.ask(asked("a", standing=True))
    pass_by(at_desk, runs, START)
    assert at_desk.withdraw("a", START + timedelta(minutes=1))
    runs.outcome_of_all = BAD
    for hour in range(1, 48):
        pass_by(at_desk, runs, START + timedelta(hours=hour))
    assert len(at_desk.state().starts) == 1


def test_a_release_ends_the_back_off_and_a_success_the_count() -> None:
    at_desk, runs = desk(SPEC.model_copy(update={"max_runs_a_month": 99})), Runs(BAD)
    for hour in (0, 12, 24):
        at_desk.ask(asked(f"a{hour}"))
        pass_by(at_desk, runs, START + timedelta(hours=hour))
    now = START + timedelta(hours=30)
    at_desk.release(Released(at=now, by="ann"))
    runs.outcome_of_all = GOOD
    at_desk.ask(asked("again"))
    assert pass_by(at_desk, runs, now + timedelta(days=7))[0].started
    assert at_desk.state().failures == 0


def test_a_run_that_cannot_be_started_has_failed_and_is_not_under_way() -> None:
    at_desk = desk()
    at_desk.ask(asked())
    pass_by(at_desk, Runs(error=PipelineError("no such version")), START)
    last = at_desk.log.read("m")[-1]
    assert isinstance(last, Ended)
    assert (last.outcome, last.detail) == ("failed", "no such version")


def test_a_run_of_which_nothing_is_heard_has_failed_after_the_longest_time() -> None:
    at_desk, runs = desk(), Runs(None)
    at_desk.ask(asked())
    pass_by(at_desk, runs, START)
    at_desk.settle(runs, START + timedelta(hours=12))
    assert at_desk.state().running is not None
    at_desk.settle(runs, START + timedelta(hours=13))
    assert (at_desk.state().running, at_desk.state().failures) == (None, 1)


def test_a_backend_that_does_not_answer_leaves_the_run_under_way() -> None:
    class Down(Runs):
        def outcome(self, model: str, run_id: str) -> Outcome | None:
            raise BackendDownError("gone")

    at_desk = desk()
    at_desk.ask(asked())
    pass_by(at_desk, Down(), START)
    assert at_desk.state().running is not None


def test_a_person_who_overrides_passes_all_but_a_run_under_way() -> None:
    at_desk, runs = desk(), Runs(None)
    at_desk.hold(Held(at=START, by="ann", why=""))
    at_desk.ask(asked("p", trigger="person", override=True))
    assert pass_by(at_desk, runs, START, labels=0)[0].reason == "overridden"
    at_desk.ask(asked("q", trigger="person", override=True))
    assert pass_by(at_desk, runs, START, labels=0)[0].reason == "running"


def test_two_who_decide_on_the_same_state_start_one_run() -> None:
    class Slow(MemoryLog):
        """Somebody else answers between reading and writing."""

        other: Desk | None = None

        def append(self, model: str, entry: Entry, after: int) -> bool:
            if isinstance(entry, Answered) and self.other is not None:
                other, self.other = self.other, None
                other.answer(START, PLENTY)
            return super().append(model, entry, after)

    log = Slow()
    first, second = Desk("m", SPEC, log), Desk("m", SPEC, log)
    first.ask(asked("a"))
    first.ask(asked("b"))
    log.other = second
    first.answer(START, PLENTY)
    started = [entry for entry in log.read("m") if isinstance(entry, Answered) and entry.started]
    assert len(started) == 1


events = st.lists(
    st.tuples(
        st.integers(-48, 400),  # hours from the event before: clocks of several machines may go back
        st.sampled_from(["ask", "stand", "override", "hold", "release", "withdraw"]),
        st.sampled_from([GOOD, BAD, Outcome("refused"), None]),
        st.sampled_from([0, 99, 100, PLENTY]),
    ),
    max_size=40,
)


@given(events)
@settings(max_examples=150, deadline=None)
def test_no_history_breaks_a_brake(history: list[tuple[int, str, Outcome | None, int]]) -> None:
    at_desk, runs, now = desk(), Runs(), START
    for number, (hours, what, outcome, labels) in enumerate(history):
        now += timedelta(hours=hours)
        before = at_desk.state()
        match what:
            case "hold":
                at_desk.hold(Held(at=now, by="ann", why=""))
            case "release":
                at_desk.release(Released(at=now, by="ann"))
            case "withdraw" if before.open:
                at_desk.withdraw(before.open[0], now)
            case "ask" | "stand" | "override":
                at_desk.ask(asked(f"k{number}", now, standing=what == "stand", override=what == "override"))
        runs.outcome_of_all = outcome
        at_desk.settle(runs, now)
        before = at_desk.state()
        for answered in at_desk.answer(now, labels):
            if not answered.started:
                continue
            at_desk.start(answered, runs, now, lambda at=now: at)  # type: ignore[misc]
            assert before.running is None, "one at a time"
            if answered.reason == "overridden":
                continue
            assert before.hold is None
            assert labels >= SPEC.min_new_labels
            assert runs_in_month(before, now) < SPEC.max_runs_a_month
            assert not before.starts or before.failures or now - before.starts[-1] >= timedelta(days=7)
    log = at_desk.log.read("m")
    assert read_state(log) == at_desk.state(), "the log is all the state there is"
    started = [item.run for item in log if isinstance(item, Answered) and item.started]
    assert len(started) == len(set(started)), "no name of a run comes twice"


@given(st.integers(0, 400), st.integers(0, 400))
def test_waiting_longer_never_turns_a_yes_of_the_cool_down_into_a_no(first: int, more: int) -> None:
    at_desk = desk(SPEC.model_copy(update={"max_runs_a_month": 99, "max_runs_a_year": None}))
    at_desk.ask(asked())
    pass_by(at_desk, Runs(GOOD), START)
    state, request = at_desk.state(), asked("b")
    sooner = decide(at_desk.spec, state, request, START + timedelta(hours=first), PLENTY)
    later = decide(at_desk.spec, state, request, START + timedelta(hours=first + more), PLENTY)
    assert later.starts or not sooner.starts


def test_every_figure_of_retraining_is_told() -> None:
    at_desk, runs = desk(), Runs(GOOD)
    at_desk.ask(asked("a"))
    pass_by(at_desk, runs, START)
    at_desk.ask(asked("b"))
    now = START + timedelta(days=1)
    pass_by(at_desk, runs, now)
    shown = figures("m", SPEC, at_desk.state(), at_desk.log.read("m"), now)
    assert set(shown.values) == {metric.name for metric in catalogue.RETRAINING}
    held = {item.labels["state"]: item.value for item in shown.values["fairlead_retraining_state"]}
    assert held == {"ready": 0, "running": 0, "cooling_down": 1, "backing_off": 0, "held": 0}
    blocked = [item.labels["reason"] for item in shown.values["fairlead_retraining_blocked"] if item.value]
    assert blocked == ["cooling_down"]
    given = {
        (item.labels["trigger"], item.labels["answer"]): item.value
        for item in shown.values["fairlead_retraining_requests_total"]
    }
    assert (given["decay", "started"], given["decay", "refused"], given["drift", "started"]) == (1, 1, 0)
