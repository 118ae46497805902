"""Maximum mean discrepancy: several numbers together are distributed otherwise.

Gretton, Borgwardt, Rasch, Schölkopf, Smola: A kernel two-sample test (JMLR 13, 2012): the unbiased estimate of lemma 6,
a Gaussian kernel as wide as the median distance (section 8), and its distribution by permutation (section 5). It takes
n² memory and time, so at most 1,000 rows of each side are drawn.
"""

import math

import numpy as np
import numpy.typing as npt

from fairlead.drift._base import Evidence

MOST_ROWS = 1000
PERMUTATIONS = 399
"""With the sample itself 400: p-values in steps of 0.0025."""

Rows = npt.NDArray[np.float64]


def mmd(reference: Rows, window: Rows, seed: int = 0) -> Evidence | None:
    """Compare rows of numbers, shape [n, d] and [m, d]; columns are scaled by the reference.

    Rows with a missing value are left out. The effect is the MMD itself, between 0 and 1.

    Args:
        reference: where rows came from.
        window: rows of now.
        seed: of the draw and the permutations.
    """
    draw = np.random.default_rng(seed)
    old, new = _some(reference, draw), _some(window, draw)
    if min(len(old), len(new)) < 2:
        return None
    spread = old.std(axis=0)
    rows = np.vstack([old, new]) / np.where(spread > 0, spread, 1.0)
    kernel = _kernel(rows)
    values = _estimates(kernel, _labels(len(old), len(new), draw), len(old), len(new))
    rank = int((values >= values[0]).sum())  # the first is the sample itself
    return Evidence(rank / len(values), float(values[0]), math.sqrt(max(values[0], 0.0)))


def _some(rows: Rows, draw: np.random.Generator) -> Rows:
    whole = rows[~np.isnan(rows).any(axis=1)]
    return whole if len(whole) <= MOST_ROWS else whole[draw.choice(len(whole), MOST_ROWS, replace=False)]


def _kernel(rows: Rows) -> Rows:
    squares = (rows**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * rows @ rows.T, 0.0)
    width = np.median(distances[np.triu_indices(len(rows), 1)])
    kernel: Rows = np.exp(-distances / (width if width > 0 else 1.0))
    np.fill_diagonal(kernel, 0.0)  # the unbiased estimate leaves a row's kernel with itself out
    return kernel


def _labels(old: int, new: int, draw: np.random.Generator) -> Rows:
    """Who is of the window, shape [old + new, 1 + PERMUTATIONS]; the first column as it is."""
    label = np.concatenate([np.zeros(old), np.ones(new)])
    return np.column_stack([label, *(draw.permutation(label) for _ in range(PERMUTATIONS))])


def _estimates(kernel: Rows, labels: Rows, old: int, new: int) -> Rows:
    """MMD² of each labelling, by one product of matrices for all."""
    products = kernel @ labels
    inside_new = (labels * products).sum(axis=0)
    across = products.sum(axis=0) - inside_new
    inside_old = kernel.sum() - inside_new - 2 * across
    estimates: Rows = inside_old / (old * (old - 1)) + inside_new / (new * (new - 1)) - 2 * across / (old * new)
    return estimates
