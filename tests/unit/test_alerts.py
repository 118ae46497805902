"""Alerts are made from a spec, and another pace changes nothing but times."""

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import SpecError
from fairlead.render.alerts import Context, Pace, Scope, environment_groups, model_groups
from fairlead.spec import load_model
from fairlead.spec.slo import SloSpec
from tests.alert_rules import REPO

MODEL = load_model(REPO / "pipelines/models/flight-delay.yaml")
TIMES = re.compile(r"\[\w+\]|offset \w+|\b\d+(\.\d+)?\b")


def shape(expr):
    """Without times, and whichever lines it has."""
    return " ".join(TIMES.sub("_", expr).split())


def rules(context, model=MODEL):
    return {
        rule.get("alert", rule.get("record")): rule
        for group in [*model_groups(context, model), *environment_groups(context)]
        for rule in group["rules"]
    }


def test_objectives_of_the_spec_are_those_of_the_rules():
    slo = SloSpec(availability=0.99, latency_p99_ms=200, min_failures=7)
    found = rules(Context("https://example.com"), MODEL.model_copy(update={"slo": slo}))
    assert "> 0.144" in found["ErrorBudgetBurnsFast"]["expr"]
    assert "> 0.06" in found["ErrorBudgetBurnsSlowly"]["expr"]
    assert ">= 7" in found["ErrorBudgetBurnsFast"]["expr"]
    assert 'le="0.2"' in found["fairlead:requests_slow:ratio_rate5m"]["expr"]
    assert "TrafficStopped" not in found, "nobody said that callers are steady"


@pytest.mark.parametrize("value", [49, 0, 10_000])
def test_a_latency_that_no_bucket_counts_is_refused_with_those_that_do(value, tmp_path):
    text = (REPO / "pipelines/models/flight-delay.yaml").read_text()
    (tmp_path / "flight-delay.yaml").write_text(text.replace("latency_p99_ms: 50", f"latency_p99_ms: {value}"))
    with pytest.raises(SpecError, match=r"must be a bound of the buckets .* 20, .*50, .*but is"):
        load_model(tmp_path / "flight-delay.yaml")


@given(st.sampled_from([1 / 1000, 1 / 150, 1 / 7, 2.0]))
def test_another_pace_changes_times_and_nothing_else(factor):
    usual, other = rules(Context("u")), rules(Context("u", pace=Pace(factor)))
    assert usual.keys() == other.keys()
    for name, rule in usual.items():
        assert shape(rule["expr"]) == shape(other[name]["expr"])
        assert rule.get("labels") == other[name].get("labels")
        assert ("for" in rule) == ("for" in other[name])


def test_a_pace_is_a_factor_and_waits_have_a_bound():
    pace = Pace(1 / 60, timedelta(seconds=90))
    assert [pace.window(text) for text in ("5m", "1h", "7d")] == ["5s", "1m", "168m"]
    assert [pace.wait(text) for text in ("5m", "1h", "7d")] == ["5s", "1m", "90s"]
    assert pace.seconds(timedelta(hours=1)) == "60"


def test_a_scope_is_in_labels_and_series():
    rule = rules(Context("u", Scope("dev", "fairlead-dev")))["RolloutControllerStale"]
    assert rule["labels"]["environment"] == "dev"
    assert 'fairlead_rollout_last_look_timestamp_seconds{environment="dev", model="flight-delay"}' in rule["expr"]


def test_where_no_controller_looks_at_releases_nobody_misses_it():
    found = rules(Context("u", controlled=False)).keys()
    assert {"ModelDecay", "RetrainingFails"} <= found
    assert not {name for name in found if name.startswith("Rollout")} - {"RolloutGitUnavailable"}
