"""Many tests at once: p-values that hold for all of them together.

Holm: A simple sequentially rejective multiple test procedure (1979): the chance of one false alarm or more among all
features is kept, whatever hangs together with what, and it is never weaker than Bonferroni's.
"""

from collections.abc import Mapping


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values, in the order given; each may be compared with the level itself."""
    order = sorted(p_values, key=lambda name: p_values[name])
    adjusted, largest = {}, 0.0
    for rank, name in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}
