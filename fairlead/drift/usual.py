"""How much single windows of the reference differ from the rest of it: what is usual is no drift.

Rows of one day share its weather, its delays, its campaigns. Tests take rows for independent, and so find that every
day differs from the mixture of all days, which is true and means nothing. So the reference is cut into windows of its
own, each compared with the others as a window of now would be, and an effect counts only above what these show. Over
all columns of a kind together: the largest effect of a window, each on its column's scale, is what counts (the maximum
statistic of Westfall and Young: Resampling-based multiple testing, 1993, with whole windows in place of permutations).
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from fairlead.drift.engine import Columns, OwnEngine
from fairlead.drift.sample import Sample, match, newest_of_each_entity

LEAST_BLOCKS = 8
"""Fewer windows of the reference say nothing about what is usual."""
MOST_BLOCKS = 25
LEAST_ROWS = 50
SHARE = 0.95
"""Of the reference's windows that count as usual."""
LEAST_SCALE = 0.02
"""Smaller effects are all the same."""
MONDAY = pd.Timestamp("1970-01-05")

Tests = Mapping[str, Sequence[str]]
"""Column → names of its tests."""
Floors = Mapping[tuple[str, str], float]
"""Column and test → the effect that is usual; empty: not known."""


def usual_effects(reference: Sample, families: Sequence[Tests], window: timedelta, timezone: str) -> Floors:
    """Compare windows of the reference with the rest of it, by our own tests whatever the engine is.

    Args:
        reference: one row an entity and week.
        families: tests that are judged together.
        window: how long.
        timezone: of the clock by which windows begin.
    """
    tests = {column: names for family in families for column, names in family.items()}
    effects = _effects(reference, tests, window, timezone)
    if len(effects) < LEAST_BLOCKS:
        return {}
    keys = [(column, name) for column, names in tests.items() for name in names]
    found = np.array([[block.get(key, 0.0) for key in keys] for block in effects])
    scale = np.maximum(np.quantile(found, SHARE, axis=0), LEAST_SCALE)
    floors: dict[tuple[str, str], float] = {}
    for family in families:
        inside = np.array([column in family for column, _ in keys])
        largest = (found[:, inside] / scale[inside]).max(axis=1, initial=0.0)
        usual = float(np.quantile(largest, SHARE))
        floors |= {key: usual * width for key, width, here in zip(keys, scale.tolist(), inside, strict=True) if here}
    return floors


def _effects(reference: Sample, tests: Tests, window: timedelta, timezone: str) -> list[dict[tuple[str, str], float]]:
    """Of each window with enough rows, at most some of them, spread over the whole time."""
    blocks = _blocks(reference, window, timezone)
    numbers, counts = np.unique(blocks, return_counts=True)
    large = numbers[counts >= LEAST_ROWS]
    chosen = large[np.unique(np.linspace(0, len(large) - 1, min(len(large), MOST_BLOCKS)).round().astype(int))]
    effects = []
    for number in chosen.tolist():
        inside = newest_of_each_entity(reference.take(np.flatnonzero(blocks == number)))
        pair = match(reference.take(np.flatnonzero(blocks != number)), inside, timezone)
        if len(pair.window) >= LEAST_ROWS:
            compared = OwnEngine().compare(Columns(pair.reference.columns, pair.window.columns), tests)
            effects.append({item[:2]: abs(item.evidence.effect) for item in compared if item.evidence is not None})
    return effects


def _blocks(reference: Sample, window: timedelta, timezone: str) -> npt.NDArray[np.int64]:
    local = pd.DatetimeIndex(reference.at).tz_localize("UTC").tz_convert(ZoneInfo(timezone)).tz_localize(None)
    return np.asarray((local - MONDAY) // window, dtype=np.int64)
