"""How a model gets its looked-up inputs: within a deadline, counted, and what happens when it cannot."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fairlead import metrics as catalogue
from fairlead.errors import BundleError, DeadlineError, FeatureError, StoreDownError
from fairlead.features.lookup import blank
from fairlead.packaging.bundle import Bundle
from fairlead.packaging.signature import Matrix
from fairlead.ports import OnlineReader
from serving.metrics import metric
from serving.unavailable import FeaturesUnavailable

WARM_UP_SECONDS = 5.0
"""The first read connects, and nobody waits for it."""

ReaderOf = Callable[[Bundle], OnlineReader]
"""What reads the looked-up inputs of a bundle."""


def open_reader(bundle: Bundle) -> OnlineReader:
    """The reader of the online store that the environment names.

    Raises:
        BundleError: the bundle does not say how to read its features, or not all of them.
        FeatureError: the environment's feature store is not as declared.
        HomeError: the environment does not name one.
    """
    from fairlead.adapters import online
    from fairlead.settings import from_environment

    plan, inputs = bundle.lookup, bundle.signature.looked_up
    if plan is None:
        raise BundleError(
            f"{bundle.model}: looks up {len(inputs)} features of {bundle.feature_service}, but bundle.json has no "
            "`lookup` that says how; package the model anew"
        )
    seconds, settings = bundle.serving.features.cache_seconds, from_environment()
    if not seconds:
        return online.open_reader(settings, plan, inputs)
    rows = metric(catalogue.CACHED_FEATURES).labels
    hits, misses = (rows(bundle.model, bundle.version or "", result).inc for result in ("hit", "miss"))

    def count(at_hand: int, fetched: int) -> None:
        hits(at_hand)
        misses(fetched)

    return online.open_reader(settings, plan, inputs, seconds, count)


class Lookup:
    """Reads the looked-up inputs of one bundle as its `serving.features` say; several threads call it at once."""

    def __init__(self, bundle: Bundle, reader: OnlineReader | None) -> None:
        """Take what reads.

        Raises:
            BundleError: there is none.
        """
        if reader is None:
            raise BundleError(
                f"{bundle.model}: needs {len(bundle.signature.looked_up)} features of {bundle.feature_service}, "
                "but has no feature store"
            )
        self._bundle = bundle
        self._reader = reader
        self._spec = bundle.serving.features
        self._nothing = blank(bundle.signature.looked_up)[None, :]
        self._labels = (bundle.model, bundle.version or "")
        self._was_unavailable = metric(catalogue.FEATURES_UNAVAILABLE).labels(*self._labels).inc
        self._took = metric(catalogue.LOOKUP_SECONDS).labels(*self._labels).observe

    def warm_up(self, columns: Mapping[str, Sequence[Any]]) -> Matrix:
        """Read once, which connects; not counted.

        Raises:
            FeaturesUnavailable: the store cannot be read, and the bundle refuses to score without it; or the two do not
                fit together.
        """
        try:
            return self._reader.read(self._keys(columns), datetime.now(UTC), WARM_UP_SECONDS).values
        except (StoreDownError, DeadlineError) as error:
            return self._without(error)
        except FeatureError as error:  # of the bundle, not of the moment: no default makes up for it
            raise self._unavailable(error) from error

    def read(self, columns: Mapping[str, Sequence[Any]], asked_at: datetime) -> Matrix:
        """The looked-up inputs for some request columns: shape [n, f], or [1, f] that holds for all rows.

        Raises:
            FeaturesUnavailable: the store cannot be read in time, and the bundle refuses to score without it.
        """
        started = time.perf_counter()
        try:
            looked = self._reader.read(self._keys(columns), asked_at, self._spec.deadline_ms / 1000)
        except FeatureError as error:
            self._was_unavailable()
            return self._without(error)
        finally:
            self._took(time.perf_counter() - started)
        if looked.missing:
            self._count(looked.missing, 1 if self._bundle.signature.entities else len(next(iter(columns.values()))))
        return looked.values

    def _keys(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
        return {name: columns[name] for name in self._bundle.signature.entities}

    def _without(self, error: FeatureError) -> Matrix:
        if self._spec.unavailable == "defaults":
            return self._nothing
        raise self._unavailable(error) from error

    def _unavailable(self, error: FeatureError) -> FeaturesUnavailable:
        return FeaturesUnavailable(f"the features of {self._bundle.model} cannot be looked up: {error}")

    def _count(self, missing: Mapping[str, int], times: int) -> None:
        for view, rows in missing.items():
            metric(catalogue.FEATURES_MISSING).labels(*self._labels, view).inc(rows * times)
