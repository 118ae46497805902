"""How much more stable's counts vary than chance alone would let them."""

import numpy as np
import numpy.typing as npt

from fairlead.rollout.ratio import Floats

SCALES = (1, 4)
"""Windows added up before their spread is measured: a burst that lasts for minutes shows only in longer windows."""

NEEDED = 20
"""Windows with traffic without which a spread says nothing."""


def dispersion(requests: npt.ArrayLike, events: npt.ArrayLike) -> Floats:
    """Variance over mean of the counts, 1 or more, of shape [...] for counts of shape [..., windows].

    Pearson's statistic over its degrees of freedom, φ = Σ (e - λn)² / (λn) / (k - 1) with λ = Σe / Σn (McCullagh &
    Nelder 1989, "Generalized Linear Models", section 4.5.2), the largest over `SCALES`. Under chance alone φ has mean 1
    and standard deviation √(2/(k-1)); what lies within two of these counts as 1, so that a quiet service pays nothing
    for the measurement; what lies above is taken as it is plus one of its standard deviations, as it is an estimate.
    A rate that drifts within the hour counts as dispersion too: that only makes decisions slower.
    """
    n, e = (np.atleast_1d(np.asarray(part, dtype=np.float64)) for part in (requests, events))
    found = np.ones(n.shape[:-1])
    for scale in SCALES:
        groups = n.shape[-1] // scale
        if groups < 2:
            continue
        by_group = [part[..., : groups * scale].reshape(*part.shape[:-1], groups, scale).sum(-1) for part in (n, e)]
        phi, spread = _pearson(*by_group)
        found = np.maximum(found, np.where(phi > 1 + 2 * spread, phi * (1 + spread), 1.0))
    return found


def _pearson(n: Floats, e: Floats) -> tuple[Floats, Floats]:
    used = n > 0
    rate = e.sum(-1, keepdims=True) / np.maximum(n.sum(-1, keepdims=True), 1.0)
    mean = rate * n
    with np.errstate(invalid="ignore", divide="ignore"):
        terms = np.where(mean > 0, (e - mean) ** 2 / mean, 0.0)
    freedom = np.maximum(used.sum(-1) - 1, 1)
    return terms.sum(-1) / freedom, np.sqrt(2 / freedom)
