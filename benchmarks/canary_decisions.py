"""Rules that decide a canary, on the same simulated hours: who is wrong how often, and how soon harm is found.

Each hour has 120 windows of 30 s at 20 requests a second, of which the candidate gets 10%; stable errs in 0.5%. An
hour of stable alone comes before it, by which our rule measures the dispersion. The rules:

- ours: the same e-processes and limits as `fairlead.rollout.decide`, looked at after each window;
- ours without dispersion: the same with a dispersion of 1;
- Flagger's: the candidate's success rate in each minute must be 99% or more, the fifth failed check rolls back
  (`threshold: 5`, `interval: 1m`, as in its documentation; failed checks add up);
- Kayenta's: Mann-Whitney's test on the error shares by window, at 30 and 60 minutes, harm at p < 0.01 two-sided
  and the candidate's above the baseline's, for a metric that should not increase. As its documentation asks, the
  baseline is a part of stable as large as the candidate: shares of arms of unequal size have unlike distributions;
- a z-test of the two shares so far, looked at after each window, harm at p < 0.05 two-sided.

Bursts keep the mean rate. `clumps`: errors come in geometric clumps of 4 on average. `restless`: each arm's rate in
each window is gamma distributed with shape 0.5. `upstream`: in 3% of the windows both arms err 20 times as often.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt
from scipy.stats import mannwhitneyu, norm

from fairlead.rollout.dispersion import dispersion
from fairlead.rollout.evidence import (
    LOG_ERRORS,
    LOG_HARD,
    LOG_LATENCY,
    LOG_PROMOTE,
    Arms,
    failing,
    log_hard,
    log_harm,
    log_harmless_errors,
)
from fairlead.spec.model import RolloutSpec

WINDOWS, SECONDS, PER_SECOND, SHARE, BASE = 120, 30, 20, 0.1, 0.005
NEVER = 10_000
SPEC = RolloutSpec(latency=None)
Counts = npt.NDArray[np.float64]
Rule = Callable[["Hours"], npt.NDArray[np.int_]]


class Hours:
    """Simulated hours, each array of shape [hours, windows]."""

    def __init__(self, hours: int, ratio: float, kind: str, seed: int) -> None:
        rng = np.random.default_rng(seed)
        shape = (hours, WINDOWS)
        self.before, self.before_errors = _stable(rng, shape, kind)
        upstream = _upstream(rng, shape, kind)
        self.stable = rng.poisson(PER_SECOND * SECONDS * (1 - SHARE), shape).astype(float)
        self.candidate = rng.poisson(PER_SECOND * SECONDS * SHARE, shape).astype(float)
        self.stable_errors = _errors(rng, self.stable, BASE * upstream, kind)
        self.candidate_errors = _errors(rng, self.candidate, BASE * ratio * upstream, kind)
        self.baseline = np.minimum(self.candidate, self.stable)
        sound = (self.stable - self.stable_errors).astype(int)
        drawn = rng.hypergeometric(self.stable_errors.astype(int), sound, self.baseline.astype(int))
        self.baseline_errors = drawn.astype(float)


def _stable(rng: np.random.Generator, shape: tuple[int, int], kind: str) -> tuple[Counts, Counts]:
    requests = rng.poisson(PER_SECOND * SECONDS * (1 - SHARE), shape).astype(float)
    return requests, _errors(rng, requests, BASE * _upstream(rng, shape, kind), kind)


def _upstream(rng: np.random.Generator, shape: tuple[int, int], kind: str) -> Counts:
    if kind != "upstream":
        return np.ones(shape)
    return np.where(rng.random(shape) < 0.03, 20.0, 1.0) / (0.97 + 0.03 * 20)


def _errors(rng: np.random.Generator, requests: Counts, rate: Counts | float, kind: str) -> Counts:
    rates = np.broadcast_to(rate, requests.shape)
    if kind == "clumps":
        clumps = rng.poisson(requests * rates / 4)
        errors = clumps + rng.negative_binomial(np.maximum(clumps, 1e-9), 0.25)
        return np.minimum(errors, requests).astype(float)
    if kind == "restless":
        rates = rates * rng.gamma(0.5, 2.0, requests.shape)
    return rng.binomial(requests.astype(int), np.minimum(rates, 1.0)).astype(float)


def ours(hours: Hours, *, measured: bool = True) -> npt.NDArray[np.int_]:
    """The window in which `decide` rolls back; `NEVER` where it promotes before or leaves it to a person."""
    roll_back, promote = looks(hours, measured=measured)
    return np.where(roll_back <= promote, roll_back, NEVER)


def looks(hours: Hours, *, measured: bool = True) -> tuple[npt.NDArray[np.int_], npt.NDArray[np.int_]]:
    """The first windows in which our rule may roll back and may promote."""
    phi = dispersion(hours.before, hours.before_errors) if measured else np.ones(len(hours.before))
    usual = hours.before_errors.sum(-1) / hours.before.sum(-1)
    aside = failing(hours.stable, hours.stable_errors, usual[:, None])
    arms = Arms(hours.stable, hours.stable_errors, hours.candidate, hours.candidate_errors, aside)
    warm = int(SPEC.warm_up_seconds / SECONDS)
    behind = arms.since(warm)
    harm = np.zeros(aside.shape, dtype=bool)
    harm[:, warm:] = np.maximum.accumulate(log_harm(behind, phi), axis=-1) >= LOG_ERRORS
    hard = np.maximum.accumulate(log_hard(arms, phi, BASE), axis=-1) >= LOG_HARD
    harmless = np.zeros(aside.shape, dtype=bool)
    harmless[:, warm:] = log_harmless_errors(behind, phi, SPEC, BASE) >= LOG_PROMOTE
    harmless[:, : int(SPEC.min_minutes * 60 / SECONDS) - 1] = False
    harmless &= hours.candidate.cumsum(-1) >= SPEC.min_requests
    return _first((harm | hard) & ~aside), _first(harmless & ~aside)


def flagger(hours: Hours) -> npt.NDArray[np.int_]:
    minute = (len(hours.candidate), WINDOWS // 2, 2)
    requests, errors = hours.candidate.reshape(minute).sum(-1), hours.candidate_errors.reshape(minute).sum(-1)
    failed = (errors > 0.01 * requests).cumsum(-1) >= 5
    first = _first(failed)
    return np.where(first < NEVER, 2 * first + 1, NEVER)


def kayenta(hours: Hours) -> npt.NDArray[np.int_]:
    baseline, candidate = hours.baseline_errors / hours.baseline, hours.candidate_errors / hours.candidate
    found = np.full(len(baseline), NEVER)
    for end in (120, 60):
        tested = mannwhitneyu(candidate[:, :end], baseline[:, :end], axis=1, method="asymptotic")
        above = tested.statistic > end * end / 2
        found[(tested.pvalue < 0.01) & above] = end - 1
    return found


def z_test(hours: Hours) -> npt.NDArray[np.int_]:
    n_c, e_c, n_s, e_s = (
        part.cumsum(-1) for part in (hours.candidate, hours.candidate_errors, hours.stable, hours.stable_errors)
    )
    pooled = (e_c + e_s) / (n_c + n_s)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (e_c / n_c - e_s / n_s) / np.sqrt(pooled * (1 - pooled) * (1 / n_c + 1 / n_s))
    return _first(np.nan_to_num(z) > norm.ppf(0.975))


def _first(found: npt.NDArray[np.bool_]) -> npt.NDArray[np.int_]:
    return np.where(found.any(-1), found.argmax(-1), NEVER)


RULES: dict[str, Rule] = {
    "Flagger: threshold of 99% a minute": flagger,
    "z-test at each look": z_test,
    "Kayenta: Mann-Whitney at 30 and 60 min": kayenta,
    "ours without dispersion": lambda hours: ours(hours, measured=False),
    "ours": ours,
}
CASES = {
    "wrong": (1.0, "plain"),
    "wrong, clumps": (1.0, "clumps"),
    "wrong, restless": (1.0, "restless"),
    "wrong, upstream": (1.0, "upstream"),
    "right at 2x": (2.0, "plain"),
    "right at 20x": (20.0, "plain"),
    "20x, clumps": (20.0, "clumps"),
}
ENDS = {
    "no difference": (1.0, "plain"),
    "half the errors": (0.5, "plain"),
    "twice the errors": (2.0, "plain"),
    "no difference, clumps": (1.0, "clumps"),
    "twice the errors, clumps": (2.0, "clumps"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    started = perf_counter()
    result = measure(options.hours, options.seed)
    print(f"share of {options.hours} hours rolled back; minutes to the rollback at 20x, median and 95th percentile")
    print(f"{'rule':<40}" + "".join(f"{name:>17}" for name in (*CASES, "minutes at 20x")))
    for rule, figures in result.items():
        shares = "".join(f"{figures[name]:>17.1%}" for name in CASES)
        print(f"{rule:<40}{shares}{figures['minutes at 20x']:>11.1f} /{figures['95% at 20x']:4.1f}")
    print("goals: wrong at most 5%, with bursts too; at least 95% at 2x; at most 2 minutes at 20x")
    ends = outcomes(options.hours, options.seed)
    print(f"{'how an hour ends with ours':<40}{'rolled back':>17}{'promoted':>17}{'a person is asked':>18}")
    for name, (rolled_back, promoted) in ends.items():
        print(f"{name:<40}{rolled_back:>17.1%}{promoted:>17.1%}{1 - rolled_back - promoted:>18.1%}")
    print(f"{'latency, 5% of stable slow':<40}{'rolled back':>17}{'median minutes':>17}")
    for name, (rolled_back, minutes) in latency(options.hours, options.seed).items():
        print(f"{name:<40}{rolled_back:>17.1%}{minutes:>17.1f}")
    print(f"{perf_counter() - started:.0f} s")
    if options.json:
        options.json.write_text(json.dumps({"rules": result, "ours": ends}, indent=2), encoding="utf-8")


def measure(hours: int, seed: int) -> dict[str, dict[str, float]]:
    """Rule → case → share rolled back, and the minutes at 20 times the errors."""
    result: dict[str, dict[str, float]] = {rule: {} for rule in RULES}
    for name, (ratio, kind) in CASES.items():
        simulated = Hours(hours, ratio, kind, seed)
        for rule, decide in RULES.items():
            found = decide(simulated)
            result[rule][name] = float((found < NEVER).mean())
            if name == "right at 20x":
                minutes = (found[found < NEVER] + 1) * SECONDS / 60
                result[rule]["minutes at 20x"] = float(np.median(minutes))
                result[rule]["95% at 20x"] = float(np.percentile(minutes, 95))
    return result


def outcomes(hours: int, seed: int) -> dict[str, tuple[float, float]]:
    """Case → shares that our rule rolls back and promotes; the rest goes to a person."""
    result = {}
    for name, (ratio, kind) in ENDS.items():
        roll_back, promote = looks(Hours(hours, ratio, kind, seed + 1))
        first = np.minimum(roll_back, promote)
        decided = first < NEVER
        result[name] = (float((decided & (roll_back == first)).mean()), float((decided & (promote < roll_back)).mean()))
    return result


def latency(hours: int, seed: int) -> dict[str, tuple[float, float]]:
    """Case → share that our rule rolls back by latency, and the median minutes to it; log-normal with σ = 0.5."""
    result = {}
    for name, slower in (("no difference", 1.0), ("1.25x slower", 1.25)):
        rng = np.random.default_rng(seed)
        share = norm.sf(norm.isf(0.05) - np.log(slower) / 0.5)
        stable = rng.poisson(PER_SECOND * SECONDS * (1 - SHARE), (hours, WINDOWS))
        candidate = rng.poisson(PER_SECOND * SECONDS * SHARE, (hours, WINDOWS))
        before = rng.binomial(stable, 0.05)
        counts = stable, rng.binomial(stable, 0.05), candidate, rng.binomial(candidate, share)
        arms = Arms(*(part.astype(float) for part in counts), np.zeros(stable.shape, dtype=bool))
        warm = int(SPEC.warm_up_seconds / SECONDS)
        found = _first(log_harm(arms.since(warm), dispersion(stable, before)) >= LOG_LATENCY)
        minutes = (found[found < NEVER] + warm + 1) * SECONDS / 60
        result[name] = (float((found < NEVER).mean()), float(np.median(minutes)) if minutes.size else float("nan"))
    return result


if __name__ == "__main__":
    main()
