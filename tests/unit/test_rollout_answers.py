"""What is read of a candidate's answers, and what of it counts."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from fairlead.adapters.memory_records import MemoryRecords
from fairlead.errors import HomeError, SourceError
from fairlead.records.reading import PredictionData, PredictionEvent
from fairlead.records.record import EVENT_TYPE
from fairlead.rollout.answers import NOTHING
from fairlead.rollout.recorded import KEPT, RecordedAnswers
from fairlead.rollout.release import Gate, Release
from fairlead.spec.model import RolloutSpec

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
GATE = Gate(version="4", run="run")
SHADOW = Release(
    model="m", revision=2, stage="shadow", stable="3", candidate="4", mirror=100, gate=GATE, started=START, since=START
)
CANARY = Release(
    model="m", revision=3, stage="canary", strategy="ab", stable="3", candidate="4", weight=50, gate=GATE,
    started=START, traffic_since=START, since=START,
)  # fmt: skip
AB = RolloutSpec.model_validate({"strategy": "ab", "quality": {}, "warm_up_seconds": 60})


def at(seconds):
    return START + timedelta(seconds=seconds)


class World:
    """Records and labels, and who reads them."""

    def __init__(self):
        self.store, self.labels, self.told = MemoryRecords(), [], 0
        self.answers = RecordedAnswers(lambda: self.store, self.read)

    def answer(self, key, version, score, seconds=100, mirrored=False, decision=None, status=200, **more):
        failed = status != 200
        self.told += 1
        fields = {"rows": 0} if failed else {"rows": 1, "scores": [score], "decisions": [decision]}
        data = PredictionData(
            model="m", version=version, request_id=key, latency_ms=1, status=status, mirrored=mirrored, **fields, **more
        )  # fmt: skip
        event = PredictionEvent(
            specversion="1.0", type=EVENT_TYPE, source="/models/m", id=str(self.told), time=at(seconds), data=data
        )  # fmt: skip
        self.store.add("m", [event])

    def label(self, key, value, seconds=200):
        self.labels.append((key, value, at(seconds)))

    def read(self, model, keys):
        frame = pd.DataFrame(self.labels, columns=["key", "label", "known_at"])
        frame["known_at"] = pd.to_datetime(frame["known_at"], utc=True)
        return frame[frame["key"].isin(set(keys))].astype({"label": "float64"})

    def look(self, release=CANARY, spec=AB, seconds=1000):
        return self.answers(release, spec, at(seconds))


def test_in_the_shadow_the_answers_to_one_request_are_a_pair():
    world, spec = World(), RolloutSpec.model_validate({"quality": {}})
    for number, (stable, candidate) in enumerate([(0.2, 0.2), (0.5, 0.8), (0.1, 0.105)]):
        world.answer(f"k{number}", "3", stable)
        world.answer(f"k{number}", "4", candidate, mirrored=True)
        world.label(f"k{number}", 1)
    world.answer("alone", "3", 0.3)
    world.answer("other", "2", 0.3)
    found = world.look(SHADOW, spec)
    assert (found.comparison.pairs, found.comparison.differing) == (3, 1)
    assert found.comparison.mean_difference == pytest.approx(0.305 / 3)
    assert found.comparison.p95_difference == pytest.approx(0.3, abs=0.05)
    assert (found.quality.pairs, found.labels, found.recorded) == (3, 6, 7)
    assert found.quality.stable_loss == pytest.approx((0.8**2 + 0.5**2 + 0.9**2) / 3)
    assert found.quality.candidate_loss == pytest.approx((0.8**2 + 0.2**2 + 0.895**2) / 3)


def test_answers_are_compared_without_a_label_and_by_the_tolerance_that_is_asked_for():
    world = World()
    world.answer("a", "3", 0.5)
    world.answer("a", "4", 0.52)
    for tolerance, differing in ((0.01, 1), (0.05, 0)):
        spec = RolloutSpec.model_validate({"answers": {"tolerance": tolerance}})
        found = RecordedAnswers(lambda: world.store, world.read)(SHADOW, spec, at(1000))
        assert (found.comparison.differing, found.quality) == (differing, None)


def test_after_the_shadow_each_arm_is_judged_by_what_it_alone_answered_to_callers_behind_the_warm_up():
    world = World()
    for number in range(40):
        world.answer(f"k{number}", "4" if number % 2 else "3", 0.9 if number % 2 else 0.1)
        world.label(f"k{number}", 0)
    world.answer("copy", "4", 1.0, mirrored=True)
    world.answer("cold", "4", 1.0, seconds=59)
    world.answer("failed", "4", None, status=500, error="out of memory")
    world.answer("twice", "3", 1.0)
    world.answer("twice", "4", 1.0)
    world.answer("late", "4", 1.0)
    for key in ("copy", "cold", "failed", "twice"):
        world.label(key, 0)
    world.label("late", 0, seconds=1001)
    found = world.look()
    assert found.comparison is None
    assert found.quality.pairs > 5
    assert found.quality.stable_loss == pytest.approx(0.01)
    assert found.quality.candidate_loss == pytest.approx(0.81)
    assert world.look(seconds=1002).quality == found.quality, "a label that came since is read later"


def test_a_wrong_decision_is_judged_where_the_sender_tells_decisions():
    world, spec = World(), RolloutSpec.model_validate({"quality": {"loss": "wrong_decision"}})
    for number, decided in enumerate([(True, False), (True, True), (None, True)]):
        for version, decision in zip(("3", "4"), decided, strict=True):
            world.answer(f"k{number}", version, 0.4, decision=decision, mirrored=version == "4")
        world.label(f"k{number}", 1)
    found = world.look(SHADOW, spec)
    assert (found.quality.pairs, found.quality.stable_loss, found.quality.candidate_loss) == (2, 0, 0.5)


def test_what_was_read_is_good_for_minutes_and_for_one_revision():
    world = World()
    assert world.look().recorded == 0
    world.answer("a", "3", 0.5)
    assert world.look(seconds=1000 + KEPT.total_seconds() - 1).recorded == 0
    assert world.look(seconds=1000 + KEPT.total_seconds()).recorded == 1
    world.answer("b", "3", 0.5)
    assert world.look(CANARY.model_copy(update={"revision": 4}), seconds=1301).recorded == 2


def test_a_clock_that_goes_back_keeps_nothing():
    world = World()
    world.look(seconds=5000)
    world.answer("a", "3", 0.5)
    assert world.look(seconds=4000).recorded == 1


@pytest.mark.parametrize("error", [SourceError("flights.csv: no such file"), ZeroDivisionError("in tables.py")])
def test_labels_that_cannot_be_read_are_told_and_judge_nothing(error):
    def away(model, keys):
        raise error

    world = World()
    world.answer("a", "3", 0.5)
    found = RecordedAnswers(lambda: world.store, away)(CANARY, AB, at(1000))
    assert found.quality is None
    assert str(error) in found.unavailable


def test_records_that_cannot_be_read_are_told_and_judge_nothing():
    def away():
        raise HomeError("no such bucket")

    found = RecordedAnswers(away, World().read)(SHADOW, AB, at(1000))
    assert (found.quality, found.comparison) == (None, None)
    assert "no such bucket" in found.unavailable


def test_a_score_that_is_no_probability_is_told():
    world = World()
    world.answer("a", "3", 7.0)
    world.answer("a", "4", 0.5, mirrored=True)
    world.label("a", 1)
    assert "within [0, 1]" in world.look(SHADOW).unavailable


def test_nothing_is_read_where_nothing_is_asked_for():
    def never():
        raise AssertionError("read")

    answers, compared = RecordedAnswers(never, never), RolloutSpec.model_validate({"answers": {}})
    assert answers(SHADOW, RolloutSpec(), at(1000)) == NOTHING
    assert answers(CANARY, compared, at(1000)) == NOTHING, "there are no copies any more"
    assert answers(Release(model="m", stable="3", since=START), AB, at(1000)) == NOTHING


def test_of_old_requests_that_are_played_again_what_was_answered_first_comes_first():
    """Their labels were known years ago, in the opposite order. What a look saw stays seen."""
    world = World()
    for number in range(300):
        asked, bad = START - timedelta(days=1000, seconds=number), number % 2 and number < 150
        world.answer(f"k{number:03}", "34"[number % 2], 0.9 if bad else 0.1, seconds=100 + number, asked_at=asked)
        world.labels.append((f"k{number:03}", 0, asked + timedelta(hours=1)))
    early, later = world.look(seconds=250), world.look(seconds=1000)
    assert early.labels == 151
    assert (early.quality.verdict, later.quality.verdict) == ("worse", "worse")
    assert later.quality.log_harm >= early.quality.log_harm
