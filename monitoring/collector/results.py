"""What jobs that watch have found, at every scrape: they end, and their figures must stay where they are looked for."""

import logging
from collections.abc import Iterator
from time import monotonic

from prometheus_client import Metric as Family
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from fairlead import metrics as catalogue
from fairlead.errors import FairleadError
from fairlead.metrics import Metric
from fairlead.monitors.results import CATALOGUE, Result, scraped
from fairlead.ports import ResultStore

KEEP_SECONDS = 5.0
"""Scrapes within so long of each other share what was read."""

log = logging.getLogger(__name__)


class Results(Collector):
    """The newest results as metrics. What cannot be read is counted, and never passed over in silence."""

    def __init__(self, store: ResultStore) -> None:
        self._store = store
        self._read_at = float("-inf")
        self._found: list[Result] = []
        self._unreadable = 0

    def collect(self) -> Iterator[Family]:
        """All families; each metric once, whichever jobs have values of it."""
        self._read()
        families: dict[str, Family] = {}
        _add(families, catalogue.MONITOR_UNREADABLE, {}, self._unreadable)
        for result in self._found:
            for name, values in scraped(result).items():
                for value in values:
                    _add(families, CATALOGUE[name], value.labels, value.value)
        yield from families.values()

    def describe(self) -> list[Family]:
        """Nothing: what there is is known at the scrape."""
        return []

    def _read(self) -> None:
        if monotonic() - self._read_at < KEEP_SECONDS:
            return
        found, unreadable = [], 0
        try:
            names = self._store.names()
        except FairleadError as error:
            log.error("%s", error)
            names, unreadable = [], -1
        for model, detector in names:
            try:
                result = self._store.read(model, detector)
            except FairleadError as error:
                log.error("%s", error)
                unreadable += 1
                continue
            found += [result] if result is not None else []
        self._found, self._unreadable, self._read_at = found, unreadable, monotonic()


def _add(families: dict[str, Family], metric: Metric, labels: object, value: float) -> None:
    if metric.name not in families:
        make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        families[metric.name] = make(metric.name, metric.help, labels=metric.labels)
    assert isinstance(labels, dict)
    families[metric.name].add_metric([labels[name] for name in metric.labels], value)  # type: ignore[attr-defined]
