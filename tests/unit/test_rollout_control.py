"""The controller: from commits and counters to the next commit, whatever goes wrong in between."""

import json
import threading
from datetime import timedelta

import pytest

from fairlead.adapters.memory_branch import MemoryBranch
from fairlead.errors import CountsMissingError, ReleaseConflictError
from fairlead.rollout.answers import NOTHING, Answers
from fairlead.rollout.comparison import Comparison
from fairlead.rollout.quality import Quality
from fairlead.rollout.status import status_of
from fairlead.rollout.telemetry import Telemetry
from fairlead.rollout.watch import Watch
from tests.unit.rollout_world import MODEL, World, first_files


@pytest.fixture
def world() -> World:
    return World(MemoryBranch(first_files()))


def commits(world: World) -> list[str]:
    return [message.splitlines()[0].partition(": ")[2] for message in world.messages()]


def test_a_sound_candidate_is_promoted_step_by_step_and_each_commit_says_why(world):
    world.hour()
    world.start()
    world.until("promoted")
    assert commits(world) == [
        "try version 4 with copies of 100% of the requests",
        "give version 4 5% of the requests",
        "give version 4 25% of the requests",
        "give version 4 50% of the requests",
        "promote version 4",
    ]
    message = world.messages()[-1]
    for words in ("e = ", "errors: ", "slow answers: ", "dispersion", "Gates: mlflow run 17", "Fairlead-Revision: 6"):
        assert words in message


def test_a_promotion_settles_when_every_server_of_stable_answers_with_the_new_version(world):
    world.hour()
    world.start()
    world.until("promoted")
    assert "should answer with 4, but does with 3" in world.look().reason
    world.counters.servers["s2"] = world.counters.servers["c1"]
    world.counters.servers["s1"].version = "4"
    assert world.look().result == "settled"
    assert (world.release.stage, world.release.stable, world.release.candidate) == ("idle", "4", None)


def test_a_promotion_does_not_settle_while_nobody_answers(world):
    world.hour()
    world.start()
    world.until("promoted")
    del world.counters.servers["s1"]
    assert world.look().result == "nothing"


def test_a_candidate_that_errs_is_rolled_back_in_the_shadow(world):
    world.hour()
    world.error_rates["candidate"] = 0.1
    world.start()
    looks = world.until("rolled_back")
    assert len(looks) <= 4
    assert world.release.stage == "rolled_back"
    assert world.release.refused == ["4"]


def test_all_evidence_is_rebuilt_by_a_controller_that_has_just_started(world):
    world.hour()
    world.start()
    world.until("advanced")
    for _ in range(5):
        world.window()
        decision, again = world.look().decision, world.another().look(MODEL).decision
        assert decision == again


def test_counters_that_are_away_hold_a_release_and_never_promote(world):
    world.hour()
    world.start()
    world.counters.away = True
    for _ in range(300):
        world.window()
    look = world.look()
    assert look.result == "nothing"
    assert look.unavailable == "the counters are away"
    world.counters.away = False
    assert world.look().unavailable is not None  # the newest counters are from before


def test_after_a_time_without_counters_what_happened_meanwhile_counts(world):
    world.hour()
    world.start()
    world.error_rates["candidate"] = 0.1
    world.counters.away = True
    for _ in range(10):
        world.window()
    world.counters.away = False
    assert world.until("rolled_back", most=2)


def test_a_server_that_restarts_counts_from_nothing_and_nothing_is_counted_twice(world):
    world.hour()
    world.start()
    world.until("advanced")
    before = world.look().decision
    world.counters.servers["c1"].restart()
    world.counters.servers["s1"].restart()
    world.window()
    after = world.look().decision
    assert 0 <= after.signals[0].candidate_requests - before.signals[0].candidate_requests <= 150
    assert 0 <= after.signals[0].stable_requests - before.signals[0].stable_requests <= 2850


def test_a_scrape_that_fails_for_a_moment_does_not_make_old_requests_news(world):
    world.hour()
    world.start()
    world.until("advanced")
    before = world.look().decision.signals[0].stable_requests
    gone = world.counters.servers.pop("s1")
    world.now += timedelta(seconds=30)
    world.counters.keep(world.now)
    blind = world.look()
    assert "no server of the stable version" in blind.unavailable
    world.counters.servers["s1"] = gone
    world.window()
    assert world.look().decision.signals[0].stable_requests - before <= 2 * 2850


def test_a_clock_that_goes_back_changes_nothing(world):
    world.hour()
    world.start()
    world.until("advanced")
    world.now -= timedelta(hours=2)
    head = world.repository.head()
    assert world.look().result == "nothing"
    assert world.repository.head() == head


def test_a_clock_that_goes_forward_decides_nothing_on_counts_that_are_not_there(world):
    world.hour()
    world.start()
    world.until("advanced")
    world.now += timedelta(hours=9)
    look = world.look()
    assert look.result == "nothing"
    assert "old" in look.unavailable


def test_without_any_traffic_a_release_is_held_and_at_last_a_person_is_asked(world):
    world.hour()
    world.start()
    world.per_window = 0
    looks = world.until("asked")
    assert {look.result for look in looks[:-1]} == {"nothing"}
    assert world.release.stage == "shadow"


def test_a_candidate_that_never_gets_a_request_is_held(world):
    world.hour()
    world.start()
    world.silent.add("candidate")
    world.window()
    assert world.look().decision.verdict == "hold"


def test_where_both_arms_fail_nobody_is_blamed(world):
    world.hour()
    world.start()
    world.until("advanced")
    world.error_rates = {"stable": 0.4, "candidate": 0.4}
    for _ in range(10):
        world.window()
        look = world.look()
        assert look.result == "nothing"
    assert "upstream" in look.reason


def test_a_candidate_that_answered_and_is_gone_is_rolled_back(world):
    world.hour()
    world.start()
    world.until("advanced")
    world.window()
    world.silent.add("candidate")
    looks = world.until("rolled_back", most=6)
    assert "its servers are gone" in looks[-1].reason


def test_of_two_controllers_one_wins_and_the_other_reads_again(world):
    world.hour()
    world.error_rates["candidate"] = 0.1
    world.start()
    for _ in range(4):
        world.window()
    slow = world.another()
    read = slow.place(MODEL)
    assert world.look().result == "rolled_back"
    with pytest.raises(ReleaseConflictError, match="was changed by"):
        slow._act(read)
    assert slow.look(MODEL).result == "nothing"
    assert len(commits(world)) == 2


def test_controllers_in_threads_lose_no_decision_and_make_none_twice(world):
    world.hour()
    world.error_rates["candidate"] = 0.2
    world.start()
    for _ in range(4):
        world.window()
    results = []
    others = [world.another() for _ in range(4)]
    threads = [threading.Thread(target=lambda one: results.append(one.look(MODEL).result), args=[x]) for x in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Who comes after the winner either loses the race or finds it rolled back.
    assert results.count("rolled_back") == 1
    assert set(results) <= {"rolled_back", "overtaken", "nothing"}
    assert len(commits(world)) == 2


def test_what_was_decided_and_not_pushed_is_decided_again(world, monkeypatch):
    world.hour()
    world.error_rates["candidate"] = 0.1
    world.start()
    for _ in range(4):
        world.window()

    def killed(*words, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(world.repository, "commit", killed)
        with pytest.raises(KeyboardInterrupt):
            world.look()
    assert len(commits(world)) == 1
    assert world.another().look(MODEL).result == "rolled_back"


def test_a_repository_that_is_away_is_told_and_tried_again(world):
    world.repository.away = True
    watch = Watch(world.controller, Telemetry("dev"))
    watch.look_at_all()
    unavailable = "fairlead_rollout_git_unavailable"
    assert watch.telemetry.registry.get_sample_value(unavailable, {"environment": "dev"}) == 1
    world.repository.away = False
    watch.look_at_all()
    assert watch.telemetry.registry.get_sample_value(unavailable, {"environment": "dev"}) == 0


def test_missing_metrics_are_an_error_at_the_start(world):
    world.counters.servers.clear()
    with pytest.raises(CountsMissingError, match="flight-delay"):
        Watch(world.controller, Telemetry("dev")).run(threading.Event())


def test_counters_that_are_away_at_the_start_are_waited_for(world):
    world.counters.away = True
    watch, stop = Watch(world.controller, Telemetry("dev")), threading.Event()
    watch.on_look = lambda model, look: stop.set()
    watch.run(stop)
    labels = {"environment": "dev", "model": MODEL}
    assert watch.telemetry.registry.get_sample_value("fairlead_rollout_stage", {**labels, "stage": "idle"}) == 1


def test_where_labels_decide_and_none_come_a_person_is_asked_at_the_deadline():
    world = World(MemoryBranch(first_files(quality={"margin": 0.02})))
    world.hour()
    world.start()
    [*_, look] = world.until("asked")
    assert look.release.stage == "shadow"
    assert "labels" in look.release.waiting


def test_labels_that_say_worse_roll_back_and_those_that_say_not_worse_let_it_go_on():
    for verdict, result in (("worse", "rolled_back"), ("not_worse", "advanced")):
        world = World(MemoryBranch(first_files(quality={"margin": 0.02})))
        found = Quality(verdict, 2000, 0.1, 0.1, 0.02, 5.0, 5.0)
        world.controller = world.another(answers=lambda release, spec, now, found=found: Answers(found))
        world.hour()
        world.start()
        world.until(result)


GOOD = Quality("not_worse", 2000, 0.1, 0.1, 0.02, 0.0, 5.0)
WORSE = Quality("worse", 2000, 0.1, 0.2, 0.02, 5.0, 0.0)
SAME = Comparison(pairs=1000, tolerance=0.01, differing=10, mean_difference=0.001, p95_difference=0.004)
OTHER = Comparison(pairs=1000, tolerance=0.01, differing=400, mean_difference=0.05, p95_difference=0.2)


def judged_by(found: Answers, **rollout) -> World:
    world = World(MemoryBranch(first_files(**rollout)))
    world.controller = world.another(answers=lambda release, spec, now: found)
    world.hour()
    world.start()
    return world


def test_commits_hold_the_figures_of_quality_and_of_the_shadow():
    world = judged_by(Answers(GOOD, 4000, 3900, SAME), quality={})
    world.until("advanced")
    assert "mean loss 0.1000 against stable's 0.1000 on 2000 pairs" in world.messages()[-1]
    assert "the labels of 3900 of 4000 recorded answers are known" in world.messages()[-1]
    assert "10 of 1000 copies (1.00%) differ" in world.messages()[-1]


def test_worse_answers_roll_back_although_the_counts_say_wait_and_the_commit_says_by_what():
    world = judged_by(Answers(WORSE), quality={})
    [*_, look] = world.until("rolled_back")
    assert look.decision.elapsed_minutes < 1, "no absence of harm could be shown by then"
    assert look.reason == "The candidate's answers are worse than stable's: mean loss 0.2000 against 0.1000."
    assert look.release.why == look.reason
    assert look.reason in world.messages()[-1]
    assert "does no harm" not in world.messages()[-1]


def test_answers_that_cannot_be_read_are_told_hold_the_release_and_at_last_a_person_is_asked():
    world = judged_by(Answers(unavailable="no such bucket."), quality={})
    [*waited, look] = world.until("asked")
    assert {seen.result for seen in waited} == {"nothing"}
    assert all("no such bucket" in seen.unavailable for seen in waited)
    assert "no such bucket" in look.release.waiting
    assert look.release.stage == "shadow"


def test_a_person_is_asked_where_too_many_answers_are_others_and_not_where_that_is_only_told():
    for rule, result in (({"most_differing": 0.1}, "asked"), ({}, "advanced")):
        world = judged_by(Answers(comparison=OTHER), answers=rule)
        [*_, look] = world.until("asked", "advanced")
        assert look.result == result
        assert "400 of 1000 copies (40.00%)" in world.messages()[-1]
        assert "labels" not in status_of(world.controller, MODEL).next
    world = judged_by(Answers(comparison=SAME), answers={"most_differing": 0.1})
    world.until("advanced")


def test_where_no_copy_could_be_compared_nobody_goes_on_unasked():
    world = judged_by(NOTHING, answers={"most_differing": 0.1})
    [*_, look] = world.until("asked")
    assert "No request is recorded that both versions answered" in look.release.waiting


def test_the_evidence_of_labels_is_in_the_metrics():
    world = judged_by(Answers(GOOD, 4000, 3900, SAME), quality={})
    watch = Watch(world.controller, Telemetry("dev"))
    world.window()
    watch.look_at_all()
    for name, value in (("evidence", 5.0), ("evidence_threshold", pytest.approx(2.996, abs=0.001))):
        labels = {"environment": "dev", "model": MODEL, "signal": "quality", "of": "no_harm"}
        assert watch.telemetry.registry.get_sample_value(f"fairlead_rollout_log_{name}", labels) == value


def test_a_status_shows_quality_and_answers_in_words_and_as_json():
    world = judged_by(Answers(GOOD, 4000, 3900, SAME), quality={})
    found = status_of(world.controller, MODEL).as_json()
    assert found["quality"]["candidate_loss"] == 0.1
    assert (found["labels_known"], found["answers_recorded"]) == (3900, 4000)
    assert (found["comparison"]["share"], found["answers_unavailable"]) == (0.01, None)
    json.dumps(found)
    waiting = judged_by(Answers(unavailable="no such bucket."), quality={})
    for _ in range(25):
        waiting.window()
    found = status_of(waiting.controller, MODEL)
    assert found.next == "the first step, when labels have shown that the answers are not worse"
    assert found.as_json()["answers_unavailable"] == "no such bucket."


def test_what_a_look_saw_and_did_is_in_the_metrics(world):
    world.hour()
    world.start()
    watch = Watch(world.controller, Telemetry("dev"))

    def value(name, **labels):
        return watch.telemetry.registry.get_sample_value(name, {"environment": "dev", "model": MODEL, **labels})

    for _ in range(25):
        world.window()
        world._release = world.controller.place(MODEL).release
        watch.look_at_all()
    assert value("fairlead_rollout_decisions_total", result="advanced") == 1
    assert value("fairlead_rollout_stage", stage="canary") == 1
    assert value("fairlead_rollout_candidate_weight_ratio") == 0.05
    assert value("fairlead_rollout_log_evidence", signal="errors", of="no_harm") is not None
    assert value("fairlead_rollout_log_evidence_threshold", signal="hard_stop", of="harm") > 5
    assert value("fairlead_rollout_last_look_timestamp_seconds") == world.now.timestamp()
    assert value("fairlead_rollout_metrics_unavailable") == 0
    world.counters.away = True
    watch.look_at_all()
    assert value("fairlead_rollout_metrics_unavailable") == 1


# What persons do to the file


def test_nonsense_is_put_back_with_line_and_rule(world):
    world.hour()
    world.start()
    world.until("advanced")
    good = world.release
    world.by_person(lambda text: text.replace("weight: 5\n", "weight: 500\n", 1))
    look = world.look()
    assert look.result == "put_back"
    assert "release.yaml:" in look.reason
    assert "weight" in look.reason
    assert world.release.weight == 5
    assert world.release.revision == good.revision + 1
    assert "put revision" in commits(world)[-1]
    assert world.look().result == "nothing"


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("stable: '3'", "stable: '9'", "a version becomes stable by a rollout"),
        ("candidate: '4'", "candidate: '9'", "must show that the candidate '9' passed"),
        ("weight: 5\n", "weight: 60\n", "weight must be one of"),
        ("  stage: canary", "  stage: [", "release.yaml"),
    ],
)
def test_an_edit_against_the_rules_is_put_back(world, old, new, rule):
    world.hour()
    world.start()
    world.until("advanced")
    world.by_person(lambda text: text.replace(old, new, 1))
    look = world.look()
    assert look.result == "put_back", look
    assert rule in look.reason


def test_a_weight_changed_by_hand_is_taken_and_what_follows_from_it_is_written(world):
    world.hour()
    world.start()
    world.until("advanced")
    world.by_person(lambda text: text.replace("weight: 5\n", "weight: 25\n", 1))
    assert world.look().result == "adopted"
    assert world.text().count("weight: 75") == 2  # a rule for HTTP, one for gRPC


def test_a_persons_revert_is_respected_and_held(world):
    world.hour()
    world.start()
    world.until("advanced")
    world.revert_last()
    assert world.look().result == "adopted"
    assert world.release.stage == "shadow"
    assert "a person went back" in world.release.hold
    for _ in range(30):
        world.window()
        assert world.look().result == "nothing"


def test_a_revert_of_a_rollback_is_put_back(world):
    world.hour()
    world.error_rates["candidate"] = 0.1
    world.start()
    world.until("rolled_back")
    world.revert_last()
    look = world.look()
    assert look.result == "put_back"
    assert "a rollback is not edited away" in look.reason
    assert world.release.stage == "rolled_back"


def test_edits_made_while_no_controller_ran_are_judged_one_after_the_other(world):
    world.hour()
    world.start()
    world.until("advanced")
    world.by_person(lambda text: text.replace("weight: 5\n", "weight: 500\n", 1))
    world.by_person(lambda text: text.replace("weight: 500\n", "weight: 5\n", 1))
    assert world.another().look(MODEL).result in ("nothing", "adopted")
    assert world.release.weight == 5
