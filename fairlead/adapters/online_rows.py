"""From entity keys to the matrix of looked-up inputs, on any store that keeps Feast's online layout.

A store only fetches rows (`RowStore`). Which rows, what has expired and how values become numbers is decided here.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from fairlead.adapters.feast_layout import KeyEncoder, doubles, value
from fairlead.errors import BundleError, DeadlineError, FeatureError
from fairlead.features.lookup import Looked, LookupPlan, LookupView, blank, count_rows
from fairlead.packaging.signature import Input, Matrix, encode

Cell = bytes | None
"""A `feast.types.Value` as it is stored; None or empty: there is none."""


class Row(NamedTuple):
    """What a store holds of one entity."""

    cells: Sequence[Cell]
    """At least `KeyGroup.fields`, in that order; what follows is passed over."""
    times: Sequence[float | None]
    """When each of `KeyGroup.views` became known, in the unit of `RowStore.oldest`; None: the view has no row."""


class Deadline:
    """A moment by which a read must be over."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def passed(self) -> bool:
        return time.monotonic() >= self._end

    def left(self) -> float:
        """Seconds that are left, more than 0.

        Raises:
            DeadlineError: there are none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.error()
        return left

    def error(self) -> DeadlineError:
        return DeadlineError(f"the online store must answer within {self._seconds * 1000:g} ms, but did not")


class KeyGroup:
    """Views with the same join keys: an entity's rows of all of them are fetched together."""

    def __init__(self, views: Sequence[LookupView], inputs: Sequence[Input]) -> None:
        """Take the views, whose features are all among the inputs."""
        self.views = tuple(views)
        self.encoder = KeyEncoder(views[0].keys)
        places = {item.name: place for place, item in enumerate(inputs)}
        found = [(view, name, places[f"{view.name}__{name}"]) for view in views for name in view.features]
        # Numbers first: those of all rows are then decoded in one go.
        found.sort(key=lambda cell: inputs[cell[2]].kind == "category")
        self.fields = [(view.name, name) for view, name, _ in found]
        self.places = np.array([place for _, _, place in found])
        self._inputs = [inputs[place] for _, _, place in found]
        self._numbers = sum(item.kind == "number" for item in self._inputs)
        self._blank = blank(self._inputs)
        self._of_view = [np.array([at for at, cell in enumerate(found) if cell[0] is view]) for view in views]

    def matrix(
        self, rows: Sequence[Row], oldest: Sequence[float | None]
    ) -> tuple[Matrix, list[npt.NDArray[np.bool_] | None]]:
        """Decode rows, one more than there are: the last is that of an unknown entity.

        Returns:
            Shape [len(rows) + 1, fields]; and for each view which rows it does not have, or None: it has all but the
            last.
        """
        block = np.empty((len(rows) + 1, len(self.fields)), dtype=np.float32)
        block[-1] = self._blank
        if rows:
            self._decode([row.cells for row in rows], block[:-1])
        return block, [self._forget(block, rows, view, limit) for view, limit in enumerate(oldest)]

    def _forget(
        self, block: Matrix, rows: Sequence[Row], view: int, limit: float | None
    ) -> npt.NDArray[np.bool_] | None:
        """Blank a view's values in the rows that it does not have, or that have expired; return which."""
        times = [row.times[view] for row in rows]
        gone = [time is None or (limit is not None and time < limit) for time in times]
        if True not in gone:
            return None
        mask = np.array([*gone, True])
        columns = self._of_view[view]
        block[np.ix_(mask, columns)] = self._blank[columns]
        return mask

    def _decode(self, cells: Sequence[Sequence[Cell]], block: Matrix) -> None:
        width = self._numbers
        numbers = doubles([cell for row in cells for cell in row[:width]])
        if numbers is not None:
            block[:, :width] = numbers.reshape(len(cells), width)
        for column in range(width if numbers is not None else 0, len(self._inputs)):
            block[:, column] = _decode_column(self._inputs[column], [row[column] for row in cells])


def _decode_column(item: Input, contents: Sequence[Cell]) -> npt.NDArray[np.float32]:
    if item.kind == "number" and (numbers := doubles(contents)) is not None:
        return numbers
    try:
        return encode(item, [value(content) if content else None for content in contents])
    except BundleError as error:
        raise FeatureError(f"the online store does not fit the model: {error}") from None


class RowStore(Protocol):
    """A store in Feast's layout; several threads call it at once."""

    def oldest(self, view: LookupView, asked_at: datetime) -> float | None:
        """The smallest time at which a row of a view counts for a time of asking; None: any does."""
        ...

    def fetch(self, wanted: Sequence[Sequence[bytes]], deadline: Deadline) -> list[list[Row]]:
        """For each group the rows of its distinct entity keys, in their order.

        Raises:
            StoreDownError: the store cannot be read.
            DeadlineError: it did not answer in time.
        """
        ...


def group_views(plan: LookupPlan, inputs: Sequence[Input]) -> list[KeyGroup]:
    """The views that the inputs need, grouped by their join keys.

    Raises:
        FeatureError: an input belongs to no view.
    """
    groups: dict[Any, list[LookupView]] = {}
    for view in plan.needed_for(inputs).views:
        groups.setdefault(view.keys, []).append(view)
    return [KeyGroup(views, inputs) for views in groups.values()]


class RowsReader:
    """`OnlineReader` on a `RowStore`. An entity that several rows name is fetched once."""

    def __init__(self, groups: Sequence[KeyGroup], store: RowStore) -> None:
        self._groups = groups
        self._store = store
        self._entities = sorted({key.name for group in groups for view in group.views for key in view.keys})
        self._width = sum(len(group.fields) for group in groups)

    def read(self, keys: Mapping[str, Sequence[Any]], asked_at: datetime, deadline_seconds: float) -> Looked:
        """See `fairlead.ports.OnlineReader`."""
        deadline = Deadline(deadline_seconds)
        count = count_rows(keys, self._entities)
        wanted, places = [], []
        for group in self._groups:
            distinct, place = _distinct(group.encoder.encode(keys, count))
            wanted.append(distinct)
            places.append(place)
        rows = self._store.fetch(wanted, deadline)
        deadline.left()
        looked = Looked(np.empty((count, self._width), dtype=np.float32), {})
        for group, found, place in zip(self._groups, rows, places, strict=True):
            self._place(group, found, place, asked_at, looked)
        return looked

    def _place(
        self, group: KeyGroup, rows: Sequence[Row], place: Sequence[int], asked_at: datetime, looked: Looked
    ) -> None:
        oldest = [self._store.oldest(view, asked_at) for view in group.views]
        block, lost = group.matrix(rows, oldest)
        looked.values[:, group.places] = block[place]
        unknown = place.count(-1)
        for view, mask in zip(group.views, lost, strict=True):
            missing = unknown if mask is None else int(np.count_nonzero(mask[place]))
            if missing:
                looked.missing[view.name] = missing


def _distinct(keys: Sequence[bytes | None]) -> tuple[list[bytes], list[int]]:
    """The different keys, and for each row the place of its key among them; -1: it has none."""
    order: dict[bytes, int] = {}
    places = [-1 if key is None else order.setdefault(key, len(order)) for key in keys]
    return list(order), places
