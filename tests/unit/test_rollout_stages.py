"""Which step of a release is legal, and that no order of events and edits breaks its promises."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pydantic import ValidationError

from fairlead.errors import RolloutError
from fairlead.rollout.comparison import Comparison
from fairlead.rollout.edits import adopt
from fairlead.rollout.file import parse_release, release_path, render_release
from fairlead.rollout.quality import Quality
from fairlead.rollout.reference import Reference
from fairlead.rollout.release import Release
from fairlead.rollout.stages import (
    Abort,
    Approve,
    Hold,
    Observe,
    Resume,
    Settle,
    Start,
    asks_person,
    judge,
    progress,
    step,
)
from fairlead.spec.environment import EnvironmentSpec
from fairlead.spec.load import load_document
from fairlead.spec.model import AnswersRule, QualityRule, RolloutSpec

ENVIRONMENT = load_document(Path(__file__).parents[2] / "manifests/envs/dev/environment.yaml", EnvironmentSpec)
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SPEC = RolloutSpec(approve={"production": "pull-request"})
IDLE = Release(model="flight-delay", stable="3", since=NOW)


def after(release, *events, spec=SPEC, minutes=20):
    """Each event made for the release it meets, `minutes` after it."""
    for kind, fields in events:
        at = release.since + timedelta(minutes=minutes)
        release = step(release, kind(at=at, revision=release.revision, **fields), spec)
    return release


def seen(verdict, quality=None, comparison=None):
    reason = f"figures say {verdict}"
    return Observe, {"verdict": verdict, "reason": reason, "quality": quality, "comparison": comparison}


def start(version="4", again=False):
    return Start, {"version": version, "run": f"run-of-{version}", "again": again}


ABORT = (Abort, {"by": "ana", "reason": "complaints"})
GOOD = Quality("not_worse", 2000, 0.1, 0.1, 0.02, 0.0, 5.0)
BAD = replace(GOOD, verdict="worse")
SAME = Comparison(pairs=1000, tolerance=0.01, differing=100, mean_difference=0.001, p95_difference=0.004)
OTHER = replace(SAME, differing=101)
ALIKE = AnswersRule(most_differing=0.1)
SHADOW = after(IDLE, start())
CANARY = after(SHADOW, seen("advance"))
PROMOTED = after(CANARY, *[seen("advance")] * 3)
SETTLED = after(PROMOTED, (Settle, {}))


def test_a_canary_goes_through_its_steps_and_becomes_stable():
    path = [SHADOW]
    for _ in range(4):
        path.append(after(path[-1], seen("advance")))
    path.append(after(path[-1], (Settle, {})))
    told = [(release.stage, release.weight, release.mirror, release.stable, release.candidate) for release in path]
    assert told == [
        ("shadow", 0, 100, "3", "4"),
        ("canary", 5, 0, "3", "4"),
        ("canary", 25, 0, "3", "4"),
        ("canary", 50, 0, "3", "4"),
        ("promoted", 100, 0, "4", "4"),
        ("idle", 0, 0, "4", None),
    ]
    assert [release.revision for release in path] == [2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("release", [SHADOW, CANARY, PROMOTED, SETTLED])
def test_from_anywhere_it_rolls_back_to_the_version_before(release):
    back = after(release, ABORT)
    assert (back.stage, back.stable, back.candidate, back.weight, back.mirror) == ("rolled_back", "3", None, 0, 0)
    assert back.refused == ["4"]
    assert back.why == "ana: complaints"


def test_a_version_rolled_back_returns_only_if_a_person_says_again():
    back = after(CANARY, seen("roll_back"))
    with pytest.raises(RolloutError, match="it was rolled back"):
        after(back, start())
    assert after(back, start(again=True)).stage == "shadow"
    assert after(back, start("5")).candidate == "5"


@pytest.mark.parametrize(
    ("release", "event", "message"),
    [
        (SHADOW, start("5"), "Abort it first"),
        (IDLE, start("3"), "it is the stable version"),
        (IDLE, seen("advance"), "nothing to judge in stage idle"),
        (IDLE, ABORT, "nothing to roll back to"),
        (after(CANARY, ABORT), ABORT, "rolled back already"),
        (CANARY, (Settle, {}), "does not settle"),
        (CANARY, (Resume, {"by": "ana"}), "not held"),
        (CANARY, (Approve, {"by": "ana"}), "waits for nobody"),
    ],
)
def test_what_is_not_drawn_is_refused(release, event, message):
    with pytest.raises(RolloutError, match=message):
        after(release, event)


def test_two_controllers_one_wins_the_other_notices():
    first = Observe(at=CANARY.since, revision=CANARY.revision, verdict="roll_back", reason="errors")
    second = Observe(at=CANARY.since, revision=CANARY.revision, verdict="advance", reason="fine")
    back = step(CANARY, first, SPEC)
    with pytest.raises(RolloutError, match=r"made for revision 3 .* this is revision 4"):
        step(back, second, SPEC)


def test_a_clock_that_went_back_promotes_nothing_and_still_rolls_back():
    with pytest.raises(RolloutError, match="a clock is wrong"):
        after(CANARY, seen("advance"), minutes=-1)
    assert after(CANARY, seen("roll_back"), minutes=-1).since == CANARY.since


@pytest.mark.parametrize("verdict", ["wait", "hold"])
def test_no_verdict_changes_nothing(verdict):
    assert after(CANARY, seen(verdict)) is CANARY


def test_the_shadow_lasts_as_long_as_the_spec_says():
    assert after(SHADOW, seen("advance"), minutes=9) is SHADOW


def test_held_it_goes_no_further_but_rolls_back():
    held = after(CANARY, (Hold, {"by": "ana", "reason": "a holiday"}))
    assert after(held, seen("advance")) is held
    assert after(held, seen("roll_back")).stage == "rolled_back"
    assert after(held, (Resume, {"by": "ana"}), seen("advance")).weight == 25


def test_a_person_who_is_asked_may_approve_or_abort():
    asked = after(CANARY, seen("ask_person"))
    assert asked.waiting == "figures say ask_person"
    assert after(asked, seen("ask_person")) is asked
    assert after(asked, seen("advance")) is asked
    approved = after(asked, (Approve, {"by": "ana"}))
    assert (approved.weight, approved.waiting) == (25, None)
    assert approved.approvals[0].by == "ana"
    assert after(asked, ABORT).stage == "rolled_back"


def test_only_a_promotion_asks_a_person_where_the_environment_wants_it():
    last = after(CANARY, *[seen("advance")] * 2)
    assert asks_person("production", last, PROMOTED, SPEC)
    assert not asks_person("dev", last, PROMOTED, SPEC)
    assert not asks_person("production", SHADOW, CANARY, SPEC)
    assert not asks_person("production", PROMOTED, after(PROMOTED, ABORT), SPEC)


def test_quality_decides_the_shadow():
    spec = RolloutSpec(quality=QualityRule())
    assert after(SHADOW, seen("advance"), spec=spec) is SHADOW
    assert after(SHADOW, seen("advance", GOOD), spec=spec).stage == "canary"
    assert after(SHADOW, seen("wait", BAD), spec=spec).stage == "rolled_back"


def test_a_shadow_of_other_answers_ends_with_a_person():
    spec = RolloutSpec(answers=ALIKE)
    assert after(SHADOW, seen("advance"), spec=spec) is SHADOW, "nothing could be compared"
    assert after(SHADOW, seen("advance", None, SAME), spec=spec).stage == "canary"
    asked = after(SHADOW, seen("advance", None, OTHER), spec=spec)
    assert (asked.stage, "101 of 1000 copies (10.10%)" in asked.waiting) == ("shadow", True)
    assert after(asked, seen("advance", None, SAME), spec=spec) is asked
    assert after(asked, (Approve, {"by": "ana"}), spec=spec).stage == "canary"
    assert after(CANARY, seen("advance"), spec=spec).weight == 25, "afterwards no copies are made"


def test_an_ab_test_is_promoted_by_labels_only():
    spec = RolloutSpec(strategy="ab", quality=QualityRule(), steps=[50])
    last = after(IDLE, start(), seen("advance"), spec=spec)
    assert last.weight == 50
    assert after(last, seen("advance"), spec=spec) is last
    assert after(last, seen("advance", GOOD), spec=spec).stage == "promoted"


def test_a_shadow_release_ends_without_a_request_for_the_candidate():
    spec = RolloutSpec(strategy="shadow")
    end = after(IDLE, start(), seen("advance"), spec=spec)
    assert (end.stage, end.stable, end.candidate) == ("idle", "3", None)


def test_blue_green_goes_from_nothing_to_everything():
    spec = RolloutSpec(strategy="blue-green")
    green = after(IDLE, start(), seen("advance"), spec=spec)
    assert (green.stage, green.weight, green.stable) == ("canary", 100, "3")
    assert after(green, seen("roll_back"), spec=spec).weight == 0
    assert after(green, seen("advance"), spec=spec).stage == "promoted"


def test_without_a_shadow_a_start_is_the_first_step():
    begun = after(IDLE, start(), spec=RolloutSpec(shadow_minutes=0))
    assert (begun.stage, begun.weight, begun.traffic_since) == ("canary", 5, begun.since)


def test_a_strategy_that_changes_on_the_way_is_refused():
    with pytest.raises(RolloutError, match="strategy became blue-green"):
        after(CANARY, seen("advance"), spec=RolloutSpec(strategy="blue-green"))


def test_evidence_asked_for_grows_with_the_steps():
    steps = [SHADOW, CANARY, after(CANARY, seen("advance")), after(CANARY, *[seen("advance")] * 2)]
    assert [progress(release, SPEC) for release in steps] == [0, 1 / 3, 2 / 3, 1]


def test_a_stage_without_a_candidate_is_not_judged():
    with pytest.raises(RolloutError, match="nothing to judge"):
        judge(IDLE, [], Reference.of([]), SPEC, NOW)
    assert judge(CANARY, [], Reference.of([]), SPEC, CANARY.since).verdict == "hold"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weight": 5}, "weight must be 0 without a candidate"),
        ({"stage": "canary"}, "needs a candidate"),
        ({"refused": ["3"]}, "which was rolled back"),
        ({**dict(CANARY), "gate": None}, "gate must show"),
        ({**dict(CANARY), "gate": {"version": "5", "run": "x"}}, "is of '5'"),
        ({**dict(CANARY), "stage": "promoted"}, "must be the stable version"),
        ({**dict(CANARY), "candidate": "3", "gate": {"version": "3", "run": "x"}}, "another one before"),
        ({**dict(CANARY), "mirror": 10}, "mirror must be 0"),
        ({**dict(CANARY), "strategy": "shadow"}, "nobody sees"),
        ({**dict(CANARY), "refused": ["4"]}, "was rolled back"),
        ({**dict(CANARY), "stage": "idle"}, "must be absent in stage idle"),
        ({**dict(SHADOW), "weight": 1}, "weight must be 0 and mirror above 0"),
        ({**dict(PROMOTED), "previous": None}, "previous must be"),
        ({"previous": "3"}, "another version than the stable one"),
        ({"since": datetime(2026, 11, 21)}, "timezone"),
    ],
)
def test_a_document_of_no_state_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        Release.model_validate({**dict(IDLE), **fields})


def test_a_revert_of_a_promotion_is_respected_and_held():
    last = after(CANARY, *[seen("advance")] * 2)
    taken = adopt(PROMOTED, last, SPEC, gated={"4"})
    assert (taken.stage, taken.weight, taken.stable) == ("canary", 50, "3")
    assert taken.revision == PROMOTED.revision + 1
    assert "went back" in taken.hold
    assert after(taken, seen("advance")) is taken


def test_a_revert_of_a_rollback_is_refused():
    with pytest.raises(RolloutError, match="a rollback is not edited away"):
        adopt(after(CANARY, ABORT), CANARY, SPEC, gated={"4"})


def test_a_start_by_a_command_is_taken_if_the_registry_knows_the_gates():
    assert adopt(IDLE, SHADOW, SPEC, gated={"4"}) == SHADOW
    with pytest.raises(RolloutError, match="has not passed its gates"):
        adopt(IDLE, SHADOW, SPEC, gated={"2"})
    back = after(CANARY, ABORT)
    again = after(back, start(again=True))
    assert adopt(back, again, SPEC, gated={"4"}) == again


@pytest.mark.parametrize(
    ("before", "fields", "message"),
    [
        (IDLE, {"stable": "9"}, "becomes stable by a rollout"),
        (SHADOW, {**dict(PROMOTED), "revision": 3}, "becomes stable by a rollout"),
        (CANARY, {"weight": 77}, "weight must be one of 5, 25, 50"),
        (IDLE, {"model": "other"}, "model must remain"),
        (IDLE, {"previous": "2"}, "the way back is not chosen by hand"),
    ],
)
def test_an_edit_that_breaks_a_rule_is_refused(before, fields, message):
    edited = Release.model_validate({**dict(before), **fields})
    with pytest.raises(RolloutError, match=message):
        adopt(before, edited, SPEC, gated={"4"})


def test_an_edit_without_a_new_revision_gets_one():
    edited = Release.model_validate({**dict(CANARY), "hold": "wait for Ana"})
    taken = adopt(CANARY, edited, SPEC, gated={"4"})
    assert (taken.hold, taken.revision) == ("wait for Ana", CANARY.revision + 1)


VERSIONS = [str(number) for number in range(1, 7)]
GATED = frozenset(VERSIONS[:5])  # 6 never passed
versions = st.sampled_from(VERSIONS)


class Rollouts(RuleBasedStateMachine):
    """A repository, two controllers that may hold old documents, and persons who edit as they like."""

    @initialize(
        strategy=st.sampled_from(["canary", "shadow", "ab", "blue-green"]),
        shadow=st.sampled_from([1.0, 10.0]),
        answers=st.sampled_from([None, ALIKE]),
    )
    def repository(self, strategy, shadow, answers):
        quality = QualityRule() if strategy == "ab" else None
        self.spec = RolloutSpec(strategy=strategy, shadow_minutes=shadow, quality=quality, answers=answers)
        self.now = NOW
        self.release = Release(model="flight-delay", stable="1", since=NOW)
        self.history = [self.release]
        self.stale = self.release
        self.rolled_back: set[str] = set()
        self.served = {"1"}

    def commit(self, document):
        before = self.release
        if document is before:
            return
        assert document.revision > before.revision
        lost = set(before.refused) - set(document.refused)
        assert all(document.candidate == version and document.started >= before.since for version in lost)
        self.rolled_back = (self.rolled_back - lost) | set(document.refused)
        if document.stable != before.stable:
            assert document.stable in self.served, "a stable version has had requests before"
        self.served |= {document.candidate} if document.weight else set()
        self.release = document
        self.history.append(document)

    def happen(self, document, kind, **fields):
        self.now += timedelta(minutes=5)
        try:
            changed = step(document, kind(at=self.now, revision=document.revision, **fields), self.spec)
        except RolloutError:
            return
        # A push of a document made from an old one is rejected by Git: only the newest has a successor.
        if document.revision == self.release.revision:
            self.commit(changed)

    @rule()
    def another_controller_reads(self):
        self.stale = self.release

    @rule()
    def a_controller_restarts(self):
        text = render_release(self.release, ENVIRONMENT)
        assert parse_release(text, release_path("dev", "flight-delay"), ENVIRONMENT) == self.release

    @rule(version=versions, again=st.booleans())
    def a_person_starts(self, version, again):
        if version in GATED:
            self.happen(self.release, Start, version=version, run="run", again=again)

    @rule(
        old=st.booleans(),
        verdict=st.sampled_from(["roll_back", "advance", "advance", "advance", "wait", "hold", "ask_person"]),
        quality=st.sampled_from([None, GOOD, GOOD, BAD]),
        comparison=st.sampled_from([None, SAME, OTHER]),
    )
    def a_controller_observes(self, old, verdict, quality, comparison):
        if quality is BAD and self.spec.quality is None:
            quality = None
        before, document = self.release, self.stale if old else self.release
        seen = {"quality": quality, "comparison": comparison}
        self.happen(document, Observe, verdict=verdict, reason="figures", **seen)
        if self.spec.answers and (before.stage, self.release.stage) == ("shadow", "canary"):
            assert comparison is SAME

    @rule(version=st.sampled_from(VERSIONS[:5]), good=st.integers(1, 6), settles=st.booleans(), again=st.booleans())
    def a_candidate_does_well(self, version, good, settles, again):
        self.happen(self.release, Start, version=version, run="run", again=again)
        for _ in range(good):
            self.now = max(self.now, self.release.since) + timedelta(minutes=10)
            self.happen(self.release, Observe, verdict="advance", reason="figures", quality=GOOD, comparison=SAME)
        if settles:
            self.happen(self.release, Settle)

    @rule(old=st.booleans(), kind=st.sampled_from([Settle, Settle, Approve, Resume, Hold, Abort]))
    def a_word(self, old, kind):
        fields = {} if kind is Settle else {"by": "ana"}
        if kind in (Hold, Abort):
            fields["reason"] = "because"
        self.happen(self.stale if old else self.release, kind, **fields)

    @rule(hours=st.integers(-3, 3))
    def the_clock_jumps(self, hours):
        self.now += timedelta(hours=hours)

    @rule(data=st.data())
    def a_person_reverts(self, data):
        self.edit(data.draw(st.sampled_from(self.history)))

    @rule(
        field=st.sampled_from(["stable", "candidate", "previous"]),
        version=versions,
        gate=st.booleans(),
        unrefuse=st.booleans(),
    )
    def a_person_writes_a_version(self, field, version, gate, unrefuse):
        fields = {field: version}
        if gate and field == "candidate":
            fields["gate"] = {"version": version, "run": "by hand"}
        if unrefuse:
            fields["refused"] = []
        self.edit_fields(fields)

    @rule(stage=st.sampled_from(["idle", "shadow", "canary", "promoted", "rolled_back"]), version=versions)
    def a_person_writes_a_whole_stage(self, stage, version):
        fields = {"stage": stage, "candidate": version, "gate": {"version": version, "run": "by hand"}}
        fields |= {"started": self.now, "since": self.now, "weight": 0, "mirror": 0, "traffic_since": None}
        if stage in ("idle", "rolled_back"):
            fields |= {"candidate": None, "gate": None, "started": None}
        if stage == "shadow":
            fields["mirror"] = 100
        if stage in ("canary", "promoted"):
            fields |= {"weight": 100 if stage == "promoted" else self.spec.weights[:1] or 5, "traffic_since": self.now}
            fields["weight"] = fields["weight"][0] if isinstance(fields["weight"], tuple) else fields["weight"]
        if stage == "promoted":
            fields |= {"stable": version, "previous": self.release.stable}
        self.edit_fields(fields)

    @rule(weight=st.integers(-10, 110), mirror=st.integers(0, 100), revision=st.integers(0, 50))
    def a_person_writes_numbers(self, weight, mirror, revision):
        self.edit_fields({"weight": weight, "mirror": mirror, "revision": revision})

    def edit_fields(self, fields):
        try:
            self.edit(Release.model_validate({**dict(self.release), **fields}))
        except ValidationError:
            return

    def edit(self, document):
        try:
            self.commit(adopt(self.release, document, self.spec, gated=GATED))
        except RolloutError:
            return

    @invariant()
    def one_stable_version_and_it_is_not_refused(self):
        if hasattr(self, "release"):
            assert self.release.stable in self.served
            assert self.release.stable not in self.release.refused

    @invariant()
    def no_traffic_without_gates(self):
        if hasattr(self, "release") and (self.release.weight or self.release.mirror):
            assert self.release.candidate in GATED
            assert self.release.gate.version == self.release.candidate

    @invariant()
    def a_rollback_is_not_lost(self):
        if hasattr(self, "release"):
            assert self.rolled_back == set(self.release.refused)
            assert self.release.candidate not in self.rolled_back


TestRollouts = Rollouts.TestCase
TestRollouts.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
