import math
from dataclasses import replace

import pytest

from fairlead.evaluation import Comparison, Evidence, Interval, SliceResult, check_gates
from fairlead.spec.model import GatesSpec

DECLARED = {
    "roc_auc": {"min": 0.6},
    "brier": {"max": 0.2},
    "baseline": {"margin": 0.02},
    "champion": {"margin": 0.01},
    "parity": {"max_abs": 1e-4},
    "latency_p99_ms": {"max": 20},
    "slices": {"by": ["origin"], "min_rows": 500, "roc_auc": {"min": 0.55}},
}


def comparison(difference=0.005, low=-0.005, high=0.015, margin=0.01, verdict="not_worse"):
    interval = Interval(difference, low, high, 0.95, "DeLong", 0)
    return Comparison("roc_auc", 0.7, 0.7 + difference, difference, interval, 0.3, margin, verdict)


def origin(value="JFK", rows=1000, **metrics):
    return SliceResult("origin", value, rows, 200, 0.2, {"roc_auc": 0.65} | metrics, rows >= 500)


GOOD = Evidence(
    metrics={"roc_auc": 0.7, "brier": 0.15},
    comparison=comparison(),
    baselines={"base rate": 0.5, "request columns alone": 0.65},
    parity_max_abs=1e-6,
    parity_flipped=0,
    latency_p99_ms=3.0,
    slices=[origin()],
)


def check(evidence, gates=DECLARED):
    return {result.name: result for result in check_gates(GatesSpec.model_validate(gates), evidence)}


def test_a_model_that_keeps_every_rule_passes_every_gate():
    results = check(GOOD)
    assert {name: result.rule for name, result in results.items()} == {
        "roc_auc": "roc_auc >= 0.6",
        "brier": "brier <= 0.2",
        "baseline": "roc_auc 0.02 above the best baseline's",
        "champion": "roc_auc at most 0.01 worse than the champion's",
        "parity.max_abs": "largest difference <= 0.0001",
        "parity.max_flipped": "flipped rows <= 0",
        "latency_p99_ms": "latency_p99_ms <= 20",
        "slices.origin.roc_auc": "roc_auc >= 0.55 in every origin of 500 rows or more",
    }
    assert all(result.passed for result in results.values())


@pytest.mark.parametrize(
    ("broken", "gate", "reason"),
    [
        (
            {"metrics": {"roc_auc": 0.59, "brier": 0.15}, "baselines": {"base rate": 0.5}},
            "roc_auc",
            "0.59 is 0.01 beyond the bound",
        ),
        ({"metrics": {"roc_auc": 0.7, "brier": 0.25}}, "brier", "0.25 is 0.05 beyond the bound"),
        ({"metrics": {"roc_auc": 0.7}}, "brier", "was not measured"),
        ({"metrics": {"roc_auc": 0.7, "brier": math.nan}}, "brier", "is undefined on these rows"),
        (
            {"baselines": {"best single feature": 0.71}},
            "baseline",
            "0.7000 against 0.7100 of best single feature: 0.0100 worse",
        ),
        ({"baselines": {"request columns alone": 0.69}}, "baseline", "0.0100 better"),
        ({"baselines": {}}, "baseline", "was not measured"),
        ({"comparison": comparison(-0.02, -0.05, 0.01, verdict="undecided")}, "champion", "0.6800 against 0.7000"),
        ({"comparison": comparison(-0.05, -0.08, -0.02, verdict="worse")}, "champion", "0.0500 worse"),
        ({"comparison": comparison(math.nan, verdict="undecided")}, "champion", "roc_auc is undefined"),
        ({"parity_max_abs": 2e-4}, "parity.max_abs", "0.0002 is 0.0001 beyond the bound"),
        ({"parity_max_abs": None}, "parity.max_abs", "was not measured"),
        ({"parity_flipped": 1}, "parity.max_flipped", "1 is 1 beyond the bound"),
        ({"latency_p99_ms": 21.5}, "latency_p99_ms", "21.5 is 1.5 beyond the bound"),
        ({"latency_p99_ms": None}, "latency_p99_ms", "was not measured"),
        ({"slices": [origin(), origin("LGA", roc_auc=0.5)]}, "slices.origin.roc_auc", "origin=LGA: 0.5 is 0.05 beyond"),
        ({"slices": [origin("LGA", roc_auc=math.nan)]}, "slices.origin.roc_auc", "origin=LGA: is undefined"),
        ({"slices": ()}, "slices.origin.roc_auc", "no slice by 'origin' was measured"),
    ],
)
def test_one_broken_rule_fails_its_gate_alone_and_says_why(broken, gate, reason):
    results = check(replace(GOOD, **broken))
    assert [name for name, result in results.items() if not result.passed] == [gate]
    assert reason in results[gate].reason


def test_a_value_on_its_bound_passes():
    on_bounds = replace(
        GOOD,
        metrics={"roc_auc": 0.6, "brier": 0.2},
        baselines={"base rate": 0.5},
        comparison=comparison(-0.01, -0.03, 0.01, verdict="undecided"),
        parity_max_abs=1e-4,
        latency_p99_ms=20.0,
        slices=[origin(roc_auc=0.55)],
    )
    assert all(result.passed for result in check(on_bounds).values())


def test_without_a_margin_a_model_may_be_as_good_as_its_baselines_but_no_worse():
    for baseline, passed in ((0.7, True), (0.7001, False)):
        result = check(replace(GOOD, baselines={"request columns alone": baseline}), {"baseline": {}})["baseline"]
        assert result.passed is passed
        assert result.rule == "roc_auc no worse than the best baseline's"


def test_a_bound_with_two_ends_holds_at_both():
    gates = {"roc_auc": {"min": 0.6, "max": 0.9}}
    results = [check(replace(GOOD, metrics={"roc_auc": value}), gates)["roc_auc"] for value in (0.5, 0.7, 0.95)]
    assert [result.passed for result in results] == [False, True, False]
    assert results[0].rule == "0.6 <= roc_auc <= 0.9"


def test_the_first_model_has_no_champion_to_beat():
    result = check(replace(GOOD, comparison=None))["champion"]
    assert (result.passed, result.value, result.reason) == (
        True,
        None,
        "no champion yet: there is nothing to be worse than",
    )


@pytest.mark.parametrize(("difference", "passed"), [(0.002, True), (0.0, True), (-0.002, False)])
def test_without_a_margin_an_undecided_comparison_goes_by_its_sign(difference, passed):
    undecided = comparison(difference, -0.02, 0.02, margin=0.0, verdict="undecided")
    result = check(replace(GOOD, comparison=undecided), {"champion": {}})["champion"]
    assert result.passed is passed
    assert result.rule == "roc_auc no worse than the champion's"
    assert "undecided" in result.reason


def test_a_comparison_made_for_another_margin_is_refused():
    with pytest.raises(ValueError, match=r"margin must be the gate's 0.01, but is 0.5"):
        check(replace(GOOD, comparison=comparison(margin=0.5)))


def test_small_slices_are_not_judged():
    results = check(replace(GOOD, slices=[origin(), origin("LGA", rows=499, roc_auc=0.1)]))
    assert results["slices.origin.roc_auc"].passed
    assert results["slices.origin.roc_auc"].reason == "the worst of 1 slices is 0.65 (1 had too few rows)"


def test_a_slice_gate_without_a_slice_to_judge_passes_and_says_so():
    result = check(replace(GOOD, slices=[origin(rows=499), origin("LGA", rows=10)]))["slices.origin.roc_auc"]
    assert (result.passed, result.value) == (True, None)
    assert result.reason == "nothing was judged: none of 2 slices has 500 rows"


def test_the_value_of_a_slice_gate_is_its_worst_slice():
    slices = [origin(), origin("LGA", roc_auc=0.56), origin("EWR", roc_auc=0.6)]
    assert check(replace(GOOD, slices=slices))["slices.origin.roc_auc"].value == 0.56


def test_a_slice_metric_that_was_not_measured_fails():
    gates = {"slices": {"by": ["origin"], "log_loss": {"max": 0.5}}}
    result = check(GOOD, gates)["slices.origin.log_loss"]
    assert not result.passed
    assert result.reason == "origin=JFK: was not measured"


def test_no_gates_have_no_results():
    assert check(GOOD, {}) == {}
