"""Do both versions say the same? Scores of a candidate's copies beside stable's answers to the same requests."""

from dataclasses import dataclass

import numpy as np

from fairlead.rollout.ratio import Floats


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of all requests of a shadow that both versions answered."""

    pairs: int
    tolerance: float
    differing: int
    """Pairs whose scores are further apart than the tolerance."""
    mean_difference: float
    """Of the scores, without a sign."""
    p95_difference: float

    @property
    def share(self) -> float:
        """Of pairs that differ."""
        return self.differing / self.pairs

    def __str__(self) -> str:
        return (
            f"answers: {self.differing} of {self.pairs} copies ({self.share:.2%}) differ from stable's by more than "
            f"{self.tolerance:g}; mean difference {self.mean_difference:.3g}, 95th percentile {self.p95_difference:.3g}"
        )


def compare(stable: Floats, candidate: Floats, tolerance: float) -> Comparison | None:
    """Compare scores of the same requests, shape [n]; None: there are none."""
    if not stable.size:
        return None
    difference = np.abs(candidate - stable)
    return Comparison(
        pairs=int(difference.size),
        tolerance=tolerance,
        differing=int((difference > tolerance).sum()),
        mean_difference=float(difference.mean()),
        p95_difference=float(np.quantile(difference, 0.95)),
    )
