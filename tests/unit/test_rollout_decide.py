"""Windows to a verdict, rule by rule, and the counts they are made of."""

import importlib.util
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import RolloutError
from fairlead.rollout.decide import decide
from fairlead.rollout.reference import Reference, SlowAnswers, slow_answers
from fairlead.rollout.windows import Counts, Reading, Window, increase
from fairlead.spec.model import RolloutSpec

BEGIN = datetime(2026, 11, 21, 12, tzinfo=UTC)
SPEC = RolloutSpec()
SLOW = SlowAnswers(threshold_seconds=0.2, share=0.05, share_if_slower=0.115)


def windows(minutes, *, errors=0.005, slow=0.05, stable_errors=0.005, stable=540, candidate=60, seed=0, begin=BEGIN):
    rng = np.random.default_rng(seed)

    def counts(n, error_rate, slow_rate):
        return Counts(n, int(rng.binomial(n, error_rate)), int(rng.binomial(n, slow_rate)))

    return [
        Window(
            start=begin + timedelta(seconds=30 * index),
            seconds=30,
            stable=counts(stable, stable_errors, 0.05),
            candidate=counts(candidate, errors, slow),
        )
        for index in range(int(minutes * 2))
    ]


REFERENCE = Reference.of(windows(60, seed=99, begin=BEGIN - timedelta(hours=1)), SLOW)


def judged(seen, minutes, *, reference=REFERENCE, spec=SPEC, **options):
    return decide(seen, reference, spec, since=BEGIN, now=BEGIN + timedelta(minutes=minutes), **options)


def test_a_candidate_with_twenty_times_the_errors_is_rolled_back_in_the_warm_up():
    assert judged(windows(2, errors=0.1), 2).verdict == "roll_back"


def test_a_slow_candidate_is_rolled_back_after_the_warm_up():
    seen = windows(8, slow=0.115)
    assert judged(seen[:4], 2).verdict == "wait"
    decision = judged(seen, 8)
    assert decision.verdict == "roll_back"
    assert "more slow answers" in decision.reason


def test_a_sound_candidate_goes_on_when_that_is_shown_and_not_before_five_minutes():
    seen = windows(55, errors=0.002, candidate=600)
    assert judged(seen[:8], 4).verdict == "wait"
    assert judged(seen, 55).verdict == "advance"


def test_less_evidence_is_asked_for_at_an_earlier_step():
    seen = windows(14, seed=1)
    assert judged(seen, 14, progress=1 / 3).verdict == "advance"
    assert judged(seen, 14).verdict == "wait"


def test_an_undecided_hour_goes_to_a_person():
    assert judged(windows(60, errors=0.0075, seed=3), 60).verdict == "ask_person"


@pytest.mark.parametrize("errors", [0.5, 1.0])
def test_both_arms_failing_is_held_and_blames_nobody(errors):
    seen = windows(10) + windows(5, errors=errors, stable_errors=errors, begin=BEGIN + timedelta(minutes=10))
    decision = judged(seen, 15)
    assert decision.verdict == "hold"
    assert "upstream" in decision.reason
    assert decision.windows_aside == 10


def test_a_fault_upstream_leaves_no_blame_when_it_is_over():
    seen = windows(10) + windows(5, errors=0.5, stable_errors=0.5, begin=BEGIN + timedelta(minutes=10))
    seen += windows(5, begin=BEGIN + timedelta(minutes=15), seed=4)
    assert judged(seen, 20).verdict in ("wait", "advance")


def test_no_counts_are_held_and_go_to_a_person_at_the_deadline():
    assert judged([], 10).verdict == "hold"
    assert judged([], 60).verdict == "ask_person"


def test_a_candidate_without_requests_is_held():
    decision = judged(windows(10, candidate=0), 10)
    assert decision.verdict == "hold"
    assert decision.reason == "The candidate gets no requests."


def test_no_requests_at_all_promote_nothing():
    assert judged(windows(59, candidate=0, stable=0), 59).verdict == "hold"


def test_an_unknown_hour_before_promotes_nothing_but_the_hard_stop_works():
    unknown = Reference.of([])
    assert judged(windows(30), 30, reference=unknown).verdict == "hold"
    assert judged(windows(30, errors=0.2), 30, reference=unknown).verdict == "roll_back"


def test_latency_without_a_reference_promotes_nothing_unless_it_is_not_judged():
    blind = replace(REFERENCE, slow=None)
    seen = windows(55, candidate=600, errors=0.002)
    assert judged(seen, 55, reference=blind).verdict == "hold"
    assert judged(seen, 55, reference=blind, spec=RolloutSpec(latency=None)).verdict == "advance"


def test_a_clock_that_went_back_decides_nothing():
    assert judged(windows(10, errors=0.5), -1).verdict == "hold"


def test_windows_of_the_future_and_of_before_are_not_read():
    early = windows(10, errors=0.5, begin=BEGIN - timedelta(minutes=10))
    late = windows(10, errors=0.5, begin=BEGIN + timedelta(minutes=10))
    assert judged(early + windows(10) + late, 10).windows == 20


def test_windows_that_overlap_are_refused():
    seen = windows(2)
    with pytest.raises(RolloutError, match="must follow each other"):
        judged([*seen, seen[-1]], 2)


def test_harm_once_shown_stays_shown():
    seen = windows(6, errors=0.1) + windows(40, errors=0.0, begin=BEGIN + timedelta(minutes=6))
    verdicts = [judged(seen[:count], count / 2).verdict for count in range(6, len(seen), 7)]
    assert set(verdicts) == {"roll_back"}


def test_everything_at_once_is_judged_without_stable():
    sound = windows(15, stable=0, candidate=600)
    assert judged(sound, 15).verdict == "advance"
    assert judged(windows(2, stable=0, candidate=600, errors=0.1), 2).verdict == "roll_back"


def test_a_decision_reads_as_a_commit_message():
    text = str(judged(windows(10, errors=0.1), 10))
    first, blank, *rest = text.splitlines()
    assert first == "The candidate makes many times stable's errors, more than a cold start explains."
    assert blank == ""
    assert [line.split(":")[0] for line in rest] == ["errors", "slow answers", "hard stop", "seen", "next"]


def test_the_same_windows_give_the_same_decision():
    assert judged(windows(20), 20) == judged(windows(20), 20)


def test_a_restarted_server_counts_from_zero_again():
    before = {"a": Reading(1000, 10, 50), "b": Reading(500, 5, 25)}
    after = {"a": Reading(100, 1, 5), "b": Reading(600, 6, 30), "c": Reading(7, 0, 0)}
    assert increase(before, after) == Counts(207, 2, 10)


def test_a_server_that_restarted_and_overtook_its_requests_is_seen_by_its_errors():
    assert increase({"a": Reading(100, 10, 50)}, {"a": Reading(120, 1, 6)}) == Counts(120, 1, 6)


readings = st.tuples(*[st.integers(0, 1000)] * 3).map(lambda counters: Reading(*counters))


@given(st.dictionaries(st.sampled_from("abc"), readings), st.dictionaries(st.sampled_from("abc"), readings))
def test_any_two_readings_give_counts_that_are_possible(before, after):
    counts = increase(before, after)
    assert 0 <= counts.errors <= counts.requests <= sum(reading.requests for reading in after.values())


def test_impossible_counts_are_refused():
    with pytest.raises(RolloutError, match="6 and 0 of 5"):
        Counts(5, 6)


def test_the_threshold_of_latency_is_the_bucket_nearest_to_the_95th_percentile():
    slow = slow_answers([0.05, 0.1, 0.16, 0.2, 0.5], [300, 700, 885, 950, 999, 1000], margin=1.25)
    assert slow.threshold_seconds == 0.2
    assert slow.share == pytest.approx(0.05)
    assert slow.share_if_slower == pytest.approx(0.115)
    assert slow.ratio == pytest.approx(2.3)


@pytest.mark.parametrize(
    ("bounds", "counts", "message"),
    [
        ([0.1], [0, 0], "answered nothing"),
        ([0.1, 1.0], [10, 500, 1000], "no bucket"),
        ([], [1000], "no bucket"),
        ([0.2], [100], "cumulative"),
        ([0.0001, 0.2, 0.201], [0, 949, 950, 1000], "too wide"),
    ],
)
def test_a_histogram_that_cannot_tell_is_refused(bounds, counts, message):
    with pytest.raises(RolloutError, match=message):
        slow_answers(bounds, counts, margin=1.001)


def test_the_benchmark_simulates_what_is_decided():
    path = Path(__file__).parents[2] / "benchmarks" / "canary_decisions.py"
    found = importlib.util.spec_from_file_location("canary_decisions", path)
    benchmark = importlib.util.module_from_spec(found)
    found.loader.exec_module(benchmark)
    for ratio, kind in ((1.0, "plain"), (2.0, "plain"), (20.0, "clumps")):
        hours = benchmark.Hours(1, ratio, kind, seed=11)
        for hour, (roll_back, promote) in enumerate(zip(*benchmark.looks(hours), strict=True)):
            assert first_verdict(hours, hour, benchmark.SPEC) == (min(roll_back, promote), roll_back <= promote)


def first_verdict(hours, hour, spec):
    """The window after which `decide` first rolls back or goes on, and whether it rolls back."""

    def counted(requests, errors):
        return [Counts(int(n), int(e)) for n, e in zip(requests[hour], errors[hour], strict=True)]

    none = [Counts()] * hours.before.shape[1]
    arms = counted(hours.stable, hours.stable_errors), counted(hours.candidate, hours.candidate_errors)
    begin = BEGIN - timedelta(hours=1)
    reference = Reference.of(timed(counted(hours.before, hours.before_errors), none, begin))
    seen = timed(*arms, BEGIN)
    for index in range(len(seen)):
        verdict = judged(seen[: index + 1], (index + 1) / 2, reference=reference, spec=spec).verdict
        if verdict in ("roll_back", "advance"):
            return index, verdict == "roll_back"
    return 10_000, True


def timed(stable, candidate, begin):
    pairs = zip(stable, candidate, strict=True)
    return [Window(begin + timedelta(seconds=30 * index), 30, *pair) for index, pair in enumerate(pairs)]
