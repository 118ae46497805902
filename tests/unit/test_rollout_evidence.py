"""The e-processes: their expectations, exactly; their promises, over many simulated hours."""

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, nchypergeom_fisher

from fairlead.rollout.dispersion import dispersion
from fairlead.rollout.evidence import HARD_RATIO, Arms, failing, log_hard, log_harmless_errors
from fairlead.rollout.ratio import HARMFUL, HARMLESS, average, log_e_process, log_rate_e_process
from fairlead.spec.model import RolloutSpec

HOURS, WINDOWS = 2000, 120
ALPHA = 0.05


def hours(seed, *, ratio=1.0, base=0.005, stable=540, candidate=60, clumps=False):
    rng = np.random.default_rng(seed)
    shape = (HOURS, WINDOWS)
    n_s, n_c = rng.poisson(stable, shape), rng.poisson(candidate, shape)

    def errors(n, rate):
        if not clumps:
            return rng.binomial(n, rate)
        k = rng.poisson(n * rate / 4)
        return np.minimum(k + rng.negative_binomial(np.maximum(k, 1e-9), 0.25), n)

    return (n_c, errors(n_c, base * ratio)), (n_s, errors(n_s, base))


def ever(logs, alpha=ALPHA):
    return (logs >= -log(alpha)).any(axis=-1).mean()


@given(
    n_c=st.integers(1, 400),
    n_s=st.integers(1, 400),
    events=st.integers(0, 60),
    null=st.sampled_from([1.0, 2.0, 3.0]),
)
def test_one_window_has_the_expectation_one_where_events_are_rare(n_c, n_s, events, null):
    share = null * n_c / (null * n_c + n_s)
    e_c = np.arange(events + 1)
    windows = (np.full((events + 1, 1), n_c), e_c[:, None]), (np.full((events + 1, 1), n_s), (events - e_c)[:, None])
    weights = binom.pmf(e_c, events, share)
    for alternatives in (HARMFUL, HARMLESS):
        logs = log_e_process(*windows, null=null, alternatives=alternatives)[:, 0]
        assert weights @ np.exp(logs) == pytest.approx(1, rel=1e-6)


@given(n_c=st.integers(1, 80), n_s=st.integers(1, 80), share=st.floats(0, 1))
def test_one_window_has_an_expectation_of_at_most_one_at_any_rate_of_events(n_c, n_s, share):
    events = round(share * (n_c + n_s))
    e_c = np.arange(max(0, events - n_s), min(n_c, events) + 1)
    logs = log_e_process(
        (np.full((len(e_c), 1), n_c), e_c[:, None]),
        (np.full((len(e_c), 1), n_s), (events - e_c)[:, None]),
        null=1.0,
        alternatives=HARMFUL,
    )[:, 0]
    assert nchypergeom_fisher.pmf(e_c, n_c + n_s, n_c, events, 1.0) @ np.exp(logs) <= 1 + 1e-6


@given(n=st.integers(1, 2000), bound=st.floats(0.0005, 0.2), above=st.floats(1, 3))
def test_a_rate_at_or_above_the_bound_has_an_expectation_of_at_most_one(n, bound, above):
    e = np.arange(n + 1)
    logs = log_rate_e_process((np.full((n + 1, 1), n), e[:, None]), bound=bound)[:, 0]
    assert binom.pmf(e, n, min(1.0, bound * above)) @ np.exp(logs) <= 1 + 1e-6


@pytest.mark.parametrize("base", [0.0005, 0.005, 0.05, 0.2])
@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_harm_is_wrongly_seen_at_some_look_in_no_more_than_alpha_of_hours(base, ratio):
    logs = log_e_process(*hours(1, base=base, ratio=ratio), null=1.0, alternatives=HARMFUL)
    assert ever(logs) <= ALPHA


@pytest.mark.parametrize("base", [0.0005, 0.005, 0.05, 0.2])
def test_no_harm_is_wrongly_seen_at_the_margin_in_no_more_than_alpha_of_hours(base):
    logs = log_e_process(*hours(2, base=base, ratio=2.0), null=2.0, alternatives=HARMLESS)
    assert ever(logs) <= ALPHA


def test_a_share_that_changes_with_what_was_seen_does_not_break_the_promise():
    rng = np.random.default_rng(3)
    counts = [[], [], [], []]
    share = np.full(HOURS, 0.05)
    for _ in range(60):
        n_c, n_s = rng.binomial(600, share), rng.binomial(600, 1 - share)
        e_c, e_s = rng.binomial(n_c, 0.01), rng.binomial(n_s, 0.01)
        for column, value in zip(counts, (n_c, e_c, n_s, e_s), strict=True):
            column.append(value)
        share = np.where(e_c > 0.012 * n_c, np.minimum(share * 1.5, 0.5), 0.05)  # more traffic when it looks bad
    n_c, e_c, n_s, e_s = (np.stack(column, axis=-1) for column in counts)
    assert ever(log_e_process((n_c, e_c), (n_s, e_s), null=1.0, alternatives=HARMFUL)) <= ALPHA


def test_errors_in_clumps_break_it_unless_the_dispersion_is_measured():
    before = hours(4, clumps=True)[1]
    arms = hours(5, clumps=True)
    measured = log_e_process(*arms, null=1.0, alternatives=HARMFUL, dispersion=dispersion(*before))
    assert ever(measured) <= ALPHA
    assert ever(log_e_process(*arms, null=1.0, alternatives=HARMFUL)) > 0.2


def test_twice_the_errors_are_found_within_the_hour():
    logs = log_e_process(*hours(6, ratio=2.0), null=1.0, alternatives=HARMFUL)
    assert ever(logs, 0.035) >= 0.95


def test_twenty_times_the_errors_are_found_in_two_minutes():
    (n_c, e_c), (n_s, e_s) = hours(7, ratio=20.0)
    arms = Arms(*(part.astype(float) for part in (n_s, e_s, n_c, e_c)), np.zeros(n_s.shape, dtype=bool))
    found = log_hard(arms, 1.0, 0.005) >= -log(0.005)
    assert np.median(found.argmax(-1) + 1) / 2 <= 2
    assert found.any(-1).all()


def test_a_cold_start_is_no_reason_for_the_hard_stop():
    (n_c, e_c), (n_s, e_s) = hours(8, ratio=HARD_RATIO)
    arms = Arms(*(part.astype(float) for part in (n_s, e_s, n_c, e_c)), np.zeros(n_s.shape, dtype=bool))
    assert ever(log_hard(arms, 1.0, 0.005), 0.005) <= 0.005


def test_two_arms_without_errors_are_harmless_by_their_rate():
    n_s, n_c, none = np.full((1, 60), 540.0), np.full((1, 60), 60.0), np.zeros((1, 60))
    arms = Arms(n_s, none, n_c, none, np.zeros((1, 60), dtype=bool))
    assert log_harmless_errors(arms, 1.0, RolloutSpec(), 0.0)[0, -1] > -log(0.02)


def test_a_candidate_alone_is_compared_with_stables_usual():
    rng = np.random.default_rng(9)
    n_c = rng.poisson(600, (HOURS, 60)).astype(float)
    none, aside = np.zeros_like(n_c), np.zeros(n_c.shape, dtype=bool)
    bad = Arms(none, none, n_c, rng.binomial(n_c.astype(int), 0.10).astype(float), aside)
    twice = Arms(none, none, n_c, rng.binomial(n_c.astype(int), 0.01).astype(float), aside)
    assert (log_hard(bad, 1.0, 0.005)[:, 1] > -log(0.005)).mean() > 0.99
    assert ever(log_harmless_errors(twice, 1.0, RolloutSpec(), 0.005), 0.02) <= 0.02


@given(
    st.lists(st.tuples(*[st.integers(0, 50)] * 4, st.booleans()), min_size=1, max_size=20),
    st.sampled_from([1.0, 2.5]),
)
def test_windows_set_aside_only_take_evidence_away(rows, phi):
    n_c, e_c, n_s, e_s, aside = (np.array(column) for column in zip(*rows, strict=True))
    arms = (n_c + e_c, e_c), (n_s + e_s, e_s)
    kept = log_e_process(*arms, null=1.0, alternatives=HARMFUL, dispersion=phi)
    less = log_e_process(*arms, null=1.0, alternatives=HARMFUL, dispersion=phi, aside=aside)
    assert (less <= kept + 1e-9).all()


@given(st.lists(st.tuples(*[st.integers(0, 50)] * 4), min_size=2, max_size=20), st.data())
def test_evidence_up_to_a_window_does_not_depend_on_what_comes_after(rows, data):
    cut = data.draw(st.integers(1, len(rows)))
    n_c, e_c, n_s, e_s = (np.array(column) for column in zip(*rows, strict=True))
    whole = log_e_process((n_c + e_c, e_c), (n_s + e_s, e_s), null=2.0, alternatives=HARMLESS)
    n_c, e_c, n_s, e_s = (part[:cut] for part in (n_c, e_c, n_s, e_s))
    part = log_e_process((n_c + e_c, e_c), (n_s + e_s, e_s), null=2.0, alternatives=HARMLESS)
    np.testing.assert_allclose(whole[:cut], part)


@pytest.mark.parametrize(("n_c", "n_s"), [(0, 500), (60, 0), (0, 0)])
def test_a_window_without_one_of_the_arms_says_nothing(n_c, n_s):
    logs = log_e_process(([n_c], [min(n_c, 5)]), ([n_s], [min(n_s, 5)]), null=1.0, alternatives=HARMFUL)
    np.testing.assert_allclose(logs, 0, atol=1e-12)


def test_the_mean_of_e_processes_is_theirs():
    np.testing.assert_allclose(np.exp(average(np.log([1.0, 4.0]), np.log([3.0, 2.0]))), [2.0, 3.0])


def test_chance_alone_seldom_counts_as_dispersion():
    phi = dispersion(*hours(10)[1])
    assert (phi == 1).mean() > 0.9


@settings(max_examples=30)
@given(st.integers(0, 2**31))
def test_dispersion_finds_clumps_and_bursts_that_last(seed):
    rng = np.random.default_rng(seed)
    n = np.full((200, 120), 540)
    lasting = rng.binomial(n, np.repeat(0.005 * rng.gamma(0.5, 2, (200, 30)), 4, axis=1))
    assert np.median(dispersion(n, lasting)) > 10
    assert np.median(dispersion(n, rng.binomial(n, 0.005) * 5)) > 4


def test_no_traffic_and_no_errors_have_no_dispersion():
    assert dispersion([0, 0, 0], [0, 0, 0]) == 1
    assert dispersion([10] * 30, [0] * 30) == 1
    assert dispersion([], []) == 1


def test_stable_fails_only_far_above_its_usual():
    assert not failing([540], [13], [0.005])[0]
    assert failing([540], [54], [0.005])[0]
    assert not failing([540], [108], [0.2])[0]
