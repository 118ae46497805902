"""Wilson's interval for a rate."""

from math import sqrt
from statistics import NormalDist


def wilson_interval(positives: int, rows: int, *, level: float = 0.95) -> tuple[float, float]:
    """Low and high end of the score interval for a rate; stays within [0, 1] and holds at rates of 0 and 1.

    Source: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".

    Raises:
        ValueError: `rows` is under 1, `positives` is not within [0, rows], or `level` not within (0, 1).
    """
    if rows < 1 or not 0 <= positives <= rows:
        raise ValueError(f"positives must be within [0, rows] and rows at least 1, but are {positives} of {rows}")
    z2 = normal_quantile(level) ** 2
    rate = positives / rows
    centre = (rate + z2 / (2 * rows)) / (1 + z2 / rows)
    half = sqrt(z2 * rate * (1 - rate) / rows + (z2 / (2 * rows)) ** 2) / (1 + z2 / rows)
    low = 0.0 if positives == 0 else centre - half
    high = 1.0 if positives == rows else centre + half
    return low, high


def normal_quantile(level: float) -> float:
    """The z for which a standard normal value lies within ±z with probability `level`: 1.96 for 0.95.

    Raises:
        ValueError: `level` is not within (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be within (0, 1), but is {level}")
    return NormalDist().inv_cdf((1 + level) / 2)
