"""Change detectors on a stream of losses, one label at a time: has the loss risen since the version began to serve?

Both are river's: ADWIN (Bifet and Gavaldà: Learning from time-changing data with adaptive windowing, 2007) keeps a
window in which no two halves differ, Page-Hinkley (Page: Continuous inspection schemes, 1954) sums what a loss is above
its mean. DDM and EDDM are left out: of streams without a change they find one in 72% and in all.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

DetectorName = Literal["adwin", "page_hinkley"]
DETECTORS: tuple[DetectorName, ...] = ("adwin", "page_hinkley")
ADWIN_DELTA = 0.002
"""No false alarm in 10,000 labels; 5% of errors that become 10% are found after about 575."""
PAGE_HINKLEY_DELTA, PAGE_HINKLEY_THRESHOLD = 0.02, 60.0
"""Rises up to a fiftieth are let be; the threshold is in units of the loss. Tried on streams of a calibrated model."""
MOST_LOSS = 3.0
"""Losses are cut there, so that both detectors see a bounded stream: a single 36 (a certain score that was wrong) would
weigh as much as a day."""


@dataclass(frozen=True)
class Change:
    """What a detector has found in a stream."""

    detector: DetectorName
    changed: bool
    """A rise was found, and no fall since."""
    at: datetime | None
    """When the label of the last rise became known."""
    labels: int


def log_losses(labels: npt.NDArray[np.float64], scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The loss of each row in nats, at most `MOST_LOSS`."""
    right = np.where(labels == 1, scores, 1 - scores)
    losses: npt.NDArray[np.float64] = -np.log(np.clip(right, np.exp(-MOST_LOSS), 1.0))
    return losses


def changes(known: "pd.DataFrame") -> list[Change]:
    """Both detectors on rows of `Joined.known`, in the order in which their labels became known."""
    losses = log_losses(known["label"].to_numpy(np.float64), known["score"].to_numpy(np.float64))
    moments = [moment.to_pydatetime() for moment in known["known_at"]]
    return [_run(name, losses, moments) for name in DETECTORS]


def _run(name: DetectorName, losses: Iterable[float], moments: list[datetime]) -> Change:
    changed, at, count = False, None, 0
    for count, (rise, moment) in enumerate(zip(_rises(name, losses), moments, strict=True), 1):  # noqa: B007
        if rise is not None:
            changed, at = rise, moment if rise else at
    return Change(name, changed, at, count)


def _rises(name: DetectorName, losses: Iterable[float]) -> Iterable[bool | None]:
    """For each loss whether the detector found a rise (True), a fall (False) or nothing (None)."""
    from river.drift import ADWIN, PageHinkley

    if name == "page_hinkley":
        upward = PageHinkley(delta=PAGE_HINKLEY_DELTA, threshold=PAGE_HINKLEY_THRESHOLD, mode="up")
        for loss in losses:
            upward.update(loss)
            yield True if upward.drift_detected else None
        return
    window = ADWIN(delta=ADWIN_DELTA)
    before = 0.0
    for loss in losses:
        window.update(loss / MOST_LOSS)  # its bound is for values within [0, 1]
        found = window.drift_detected
        yield window.estimation > before if found else None
        before = window.estimation
