"""Whole rollouts: windows are judged, the verdict is a step, the step sets the traffic of the next window."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from fairlead.rollout.reference import Reference, SlowAnswers
from fairlead.rollout.release import Release
from fairlead.rollout.stages import Observe, Start, judge, step
from fairlead.rollout.windows import Counts, Window
from fairlead.spec.model import RolloutSpec

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SLOW = SlowAnswers(threshold_seconds=0.2, share=0.05, share_if_slower=0.115)


def rolled_out(spec, *, errors=0.005, slow=0.05, per_window=3000, seed=0):
    """All documents of one rollout, until it needs no more figures or a person is asked."""
    rng = np.random.default_rng(seed)

    def counts(n, error_rate=0.005, slow_rate=0.05):
        return Counts(n, int(rng.binomial(n, error_rate)), int(rng.binomial(n, slow_rate)))

    def window(start, release):
        candidate = per_window * (release.weight or release.mirror) // 100
        stable = per_window * (100 - release.weight) // 100
        return Window(start, 30, counts(stable), counts(candidate, errors, slow))

    idle = Release(model="flight-delay", stable="3", since=NOW)
    hour = [window(NOW - timedelta(seconds=30 * (120 - index)), idle) for index in range(120)]
    reference = Reference.of(hour, SLOW)
    documents = [step(idle, Start(at=NOW, revision=1, version="4", run="run"), spec)]
    windows: list[Window] = []
    now = NOW
    while documents[-1].stage in ("shadow", "canary") and documents[-1].waiting is None:
        release = documents[-1]
        windows.append(window(now, release))
        now += timedelta(seconds=30)
        decision = judge(release, windows, reference, spec, now)
        after = step(release, Observe.of(decision, at=now, revision=release.revision), spec)
        documents += [after] if after is not release else []
    return documents


@pytest.mark.parametrize("seed", range(3))
def test_a_sound_candidate_is_promoted_within_the_deadline(seed):
    spec = RolloutSpec()
    path = rolled_out(spec, seed=seed)
    assert [release.weight for release in path] == [0, 5, 25, 50, 100]
    assert path[-1].since - NOW < timedelta(minutes=spec.shadow_minutes + spec.deadline_minutes)


@pytest.mark.parametrize("fault", [{"errors": 0.1}, {"slow": 0.115}])
def test_a_bad_candidate_is_stopped_before_a_user_sees_it(fault):
    path = rolled_out(RolloutSpec(), **fault)
    assert [release.stage for release in path] == ["shadow", "rolled_back"]


@pytest.mark.parametrize("fault", [{"errors": 0.1}, {"slow": 0.2}])
def test_without_a_shadow_it_is_stopped_at_the_first_step_within_minutes(fault):
    path = rolled_out(RolloutSpec(shadow_minutes=0), **fault)
    assert [release.weight for release in path] == [5, 0]
    assert path[-1].since - NOW <= timedelta(minutes=4)


def test_blue_green_is_judged_in_the_shadow_and_then_by_the_hour_before():
    path = rolled_out(RolloutSpec(strategy="blue-green"))
    assert [(release.stage, release.weight) for release in path] == [("shadow", 0), ("canary", 100), ("promoted", 100)]


def test_hardly_any_traffic_ends_with_a_person():
    [*_, last] = rolled_out(RolloutSpec(), per_window=20)
    assert last.waiting is not None
