"""E-processes for the ratio of two event rates, and for one rate against a bound.

**Data.** In window t the stable arm has n_s requests and e_s events (errors, or slow answers), the candidate n_c and
e_c. Let E = e_s + e_c. If events are rare, e_s and e_c are Poisson with means λ_s n_s and λ_c n_c, and given E

    e_c ~ Binomial(E, p(r)),   p(r) = r n_c / (r n_c + n_s),   r = λ_c / λ_s.

The condition removes the level λ_s: a fault upstream that raises both arms leaves p(r) as it was, and the level may
change from window to window (Przyborowski & Wilenski 1940, "Homogeneity of Results in Testing Samples from Poisson
Series", Biometrika 31).

**E-process.** For a ratio r against r0 one window gives the likelihood ratio

    L_t(r, r0) = (r / r0)^{e_c} · ((r0 n_c + n_s) / (r n_c + n_s))^E,

whose expectation given the past, n_s, n_c and E is 1 under r0. So the product over windows is a non-negative martingale
that starts at 1, and so is any average of such products over fixed r: Robbins' method of mixtures (Robbins 1970,
"Statistical Methods Related to the Law of the Iterated Logarithm", Ann. Math. Stat. 41, section 1; Howard, Ramdas,
McAuliffe & Sekhon 2021, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Ann. Stat. 49, section 3.2).

**Validity at every look.** Ville's inequality: a non-negative supermartingale M with M_0 = 1 has
P(there is a t with M_t >= 1/α) <= α (Ville 1939; Ramdas, Grünwald, Vovk & Shafer 2023, "Game-theoretic statistics and
safe anytime-valid inference", Stat. Sci. 38, section 2). The bound is over all t at once: one may look after every
window, stop when one likes and go on after a stop. Shares that change between windows do no harm, as p(r) is that of
the window and the share of the next window is known when it begins.

**Composite hypotheses.** L_t(r, r0) with r > r0 grows with e_c, and Binomial(E, p) with p, so under any r' < r0 its
expectation is below 1: the process tests `ratio <= r0`. With r < r0 it tests `ratio >= r0` in the same way.

**Where events are not rare.** Given E, e_c is then hypergeometric, which under r = 1 is smaller in convex order than
Binomial(E, p(1)) (Hoeffding 1963, "Probability Inequalities for Sums of Bounded Random Variables", JASA 58, theorem 4).
L_t is convex in e_c, so its expectation stays at or below 1 and the test of `ratio <= 1` remains valid for any rate.
The test of `ratio >= r0 > 1` relies on rare events: at shares near 1 no ratio above 1 is possible, so windows in which
stable fails are set aside (below).

**Bursts.** Errors come in clumps, and then Binomial(E, p) is too narrow. With φ >= 1, variance over mean of the counts,
each product is raised to 1/φ: log-likelihoods divided by the dispersion, as in quasi-likelihood (Wedderburn 1974,
Biometrika 61; McCullagh & Nelder 1989, "Generalized Linear Models", section 4.5). Without bursts this stays valid by
Jensen's inequality, E[M^{1/φ}] <= E[M]^{1/φ}, as the tempered product is still a supermartingale. With bursts it is an
approximation, exact in the first two moments; `benchmarks/canary_decisions.py` measures what it is worth.

**Windows set aside.** Replacing a window's factor by min(factor, 1) makes a martingale a supermartingale, whatever
made us do it. So a window may be set aside after having been seen: it then only counts against a decision.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

HARMFUL: Mapping[float, float] = {1.5: 0.15, 2.0: 0.45, 3.0: 0.15, 5.0: 0.1, 10.0: 0.08, 20.0: 0.07}
"""Ratio → weight: what a candidate that does harm may look like. Most weight on the ratio hardest to see in an hour."""

HARMLESS: Mapping[float, float] = {0.25: 0.1, 0.5: 0.15, 0.8: 0.15, 1.0: 0.6}
"""Ratio → weight: what a harmless candidate may look like."""


def log_e_process(
    candidate: tuple[npt.ArrayLike, npt.ArrayLike],
    stable: tuple[npt.ArrayLike, npt.ArrayLike],
    *,
    null: float,
    alternatives: Mapping[float, float],
    dispersion: npt.ArrayLike = 1.0,
    aside: npt.ArrayLike | None = None,
) -> Floats:
    """Logarithm of the mixture e-process after each window, shape [..., windows].

    Args:
        candidate: requests and events, each of shape [..., windows].
        stable: the same of the other arm.
        null: r0. Alternatives above it test `ratio <= null`, those below it `ratio >= null`.
        alternatives: ratio → weight; the weights sum to 1.
        dispersion: φ >= 1, of shape [...] without windows; below 1 counts as 1.
        aside: windows that may only count against a decision, shape [..., windows].
    """
    n_c, e_c = (np.asarray(part, dtype=np.float64) for part in candidate)
    n_s, e_s = (np.asarray(part, dtype=np.float64) for part in stable)
    compared = (n_c > 0) & (n_s > 0)
    parts = []
    for ratio, weight in alternatives.items():
        with np.errstate(invalid="ignore", divide="ignore"):
            steps = e_c * np.log(ratio / null) + (e_c + e_s) * np.log((null * n_c + n_s) / (ratio * n_c + n_s))
        parts.append((_summed(np.where(compared, steps, 0.0), dispersion, aside), weight))
    return _mixed(parts)


def log_rate_e_process(
    candidate: tuple[npt.ArrayLike, npt.ArrayLike],
    *,
    bound: float,
    shares: Mapping[float, float] = {0.0: 0.5, 0.25: 0.3, 0.5: 0.2},
    dispersion: npt.ArrayLike = 1.0,
    aside: npt.ArrayLike | None = None,
) -> Floats:
    """Logarithm of an e-process for `the candidate's rate >= bound`, after each window.

    Two arms without errors say nothing about their ratio. They do say that the rate is low: for a Poisson count the
    likelihood ratio of q against the bound b is exp(n (b - q)) (q / b)^e, here for q = share · b. Its expectation is
    at or below 1 for any rate above b, also for binomial counts: with x = q / b < 1, E[x^e] = (1 - λ(1 - x))^n
    <= exp(-n λ (1 - x)).
    """
    n, e = (np.asarray(part, dtype=np.float64) for part in candidate)
    parts = []
    for share, weight in shares.items():
        thinned = e * np.log(share) if share > 0 else np.where(e > 0, -np.inf, 0.0)
        parts.append((_summed(n * bound * (1 - share) + thinned, dispersion, aside), weight))
    return _mixed(parts)


def average(*logs: Floats) -> Floats:
    """The logarithm of the mean of e-processes: an e-process for what all their hypotheses have in common."""
    return _mixed([(log, 1 / len(logs)) for log in logs])


def _summed(steps: Floats, dispersion: npt.ArrayLike, aside: npt.ArrayLike | None) -> Floats:
    if aside is not None:
        steps = np.where(np.asarray(aside), np.minimum(steps, 0.0), steps)
    tempered: Floats = np.cumsum(steps, axis=-1) / np.maximum(np.asarray(dispersion, dtype=np.float64), 1.0)[..., None]
    return tempered


def _mixed(parts: list[tuple[Floats, float]]) -> Floats:
    with np.errstate(divide="ignore"):
        mixed: Floats = np.logaddexp.reduce(np.stack([log + np.log(weight) for log, weight in parts]), axis=0)
    return mixed
