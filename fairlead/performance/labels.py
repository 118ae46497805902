"""Labels joined to predictions by id, as they were known at an instant: never later.

A prediction is named by its request's id; of several predictions in one request by `<request id>/<row>`. A label names
the prediction it belongs to, and says when it became known.

The rules, where things are not as they should be:

- A label that comes again with another value corrects the one before: the newest known by the instant counts. Two
  values of one moment contradict each other, and neither counts. Both are told as `conflicting`.
- A prediction of the same name and version that comes again is a repeated request: the first one counts.
- A label that was known before its prediction was made judges nothing, for the model may have seen it: `early`. It is
  what clocks that disagree look like.
- A prediction without a label is `awaited` until the longest usual delay is over, then `overdue`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

LabelState = Literal["known", "awaited", "overdue", "early"]
STATES: tuple[LabelState, ...] = ("known", "awaited", "overdue", "early")
COLUMNS = ("request_id", "row", "rows", "version", "asked_at", "time", "score", "decision", "mirrored")
"""Of records: what a prediction is made of."""


@dataclass(frozen=True)
class Joined:
    """Predictions and what is known of them at an instant."""

    at: datetime
    rows: "pd.DataFrame"
    """Columns `key`, `version`, `asked_at`, `score`, `state`, and where the state is `known` also `label` (0.0 or 1.0)
    and `known_at`; in the order of asking. What else the predictions had is there, too."""
    conflicting: int
    """Predictions whose label came with different values."""

    def known(self, version: str | None = None) -> "pd.DataFrame":
        """The rows that can be judged, by the time at which their labels became known."""
        rows = self.rows[self.rows["state"] == "known"]
        rows = rows if version is None else rows[rows["version"] == version]
        return rows.sort_values(["known_at", "key"], kind="stable")

    def counts(self, version: str) -> dict[LabelState, int]:
        """Predictions of a version by their state."""
        found = self.rows.loc[self.rows["version"] == version, "state"].value_counts()
        return {state: int(found.get(state, 0)) for state in STATES}

    @property
    def versions(self) -> list[str]:
        """In the order in which they first answered."""
        return [str(version) for version in self.rows["version"].unique()]


def predictions_of(records: "pa.Table", *, copies: bool = False) -> "pd.DataFrame":
    """The predictions among records with `COLUMNS`: `key`, `version`, `asked_at`, `score`, `decision`, `answered_at`.

    Left out: failures, what has no id to be joined by and, unless they are asked for, copies whose answer nobody got.
    """
    rows = records.select(COLUMNS).to_pandas()
    rows = rows[(rows["rows"] > 0) & rows["request_id"].notna() & rows["score"].notna() & (copies | ~rows["mirrored"])]
    alone = rows["rows"] == 1
    rows = rows.assign(
        key=rows["request_id"].where(alone, rows["request_id"] + "/" + rows["row"].astype(str)),
        version=rows["version"].fillna(""),
        asked_at=rows["asked_at"].fillna(rows["time"]),
        answered_at=rows["time"],
    )
    found: pd.DataFrame = rows[["key", "version", "asked_at", "score", "decision", "answered_at"]]
    return found


def join(predictions: "pd.DataFrame", labels: "pd.DataFrame", at: datetime, longest_delay: timedelta) -> Joined:
    """What is known at an instant.

    Args:
        predictions: `key`, `version`, `asked_at` (UTC), `score`; others than those asked by `at` are not looked at.
        labels: `key`, `label` (0 or 1, null: never), `known_at` (UTC); others than those known by `at` are not looked
            at, nor are those that say nothing.
        at: the instant.
        longest_delay: from asking to the label of nearly all; a prediction that waits longer is overdue.
    """
    asked = predictions[predictions["asked_at"] <= at].sort_values("asked_at", kind="stable")
    asked = asked.drop_duplicates(["key", "version"], keep="first")
    newest, conflicting = _newest(labels[(labels["known_at"] <= at) & labels["label"].notna()])
    rows = asked.merge(newest, on="key", how="left", sort=False)
    rows["state"] = _states(rows, at, longest_delay)
    rows.loc[rows["state"] != "known", ["label", "known_at"]] = None
    return Joined(at, rows.reset_index(drop=True), int(asked["key"].isin(conflicting).sum()))


def _newest(labels: "pd.DataFrame") -> "tuple[pd.DataFrame, set[str]]":
    """The value of each key that counts, and the keys that came with several."""
    labels = labels.assign(label=labels["label"].astype(np.float64))
    values = labels.drop_duplicates(["key", "label"])
    several = values["key"][values["key"].duplicated()]
    newest = labels[labels["known_at"] == labels.groupby("key")["known_at"].transform("max")]
    newest = newest.drop_duplicates(["key", "label"])
    newest = newest[~newest["key"].duplicated(keep=False)]
    return newest[["key", "label", "known_at"]], set(several)


def _states(rows: "pd.DataFrame", at: datetime, longest_delay: timedelta) -> npt.NDArray[np.object_]:
    unknown = rows["label"].isna()
    waiting = rows["asked_at"] >= at - longest_delay
    early = rows["known_at"] < rows["asked_at"]
    states = np.where(unknown, np.where(waiting, "awaited", "overdue"), np.where(early, "early", "known"))
    return states.astype(object)
