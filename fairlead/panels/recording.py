"""What was scraped, as time series: a Prometheus of one run, in memory."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from prometheus_client.parser import text_string_to_metric_families

from fairlead.monitors.results import Value

Labels: TypeAlias = frozenset[tuple[str, str]]
Source = Literal["canary", "month"]
STALE_AFTER = 2.5
"""Intervals without a sample after which a series is over: what answered it has ended."""

OURS = "fairlead_"
CREATED = "_created"
"""When a counter began: not a metric of ours."""


@dataclass
class Series:
    """Samples in the order of time."""

    labels: Mapping[str, str]
    times: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def newest(self, at: float, within: float) -> float | None:
        """The newest value in (at - within, at]."""
        place = bisect_right(self.times, at)
        return self.values[place - 1] if place and self.times[place - 1] > at - within else None

    def window(self, at: float, seconds: float) -> tuple[Sequence[float], Sequence[float]]:
        """Times and values in (at - seconds, at]."""
        first, last = bisect_right(self.times, at - seconds), bisect_right(self.times, at)
        return self.times[first:last], self.values[first:last]


@dataclass
class Recording:
    """Series by name, from scrapes that are an interval apart."""

    source: Source
    interval: float
    """Seconds."""
    step: float
    """Seconds between the points that are drawn."""
    series: dict[str, dict[Labels, Series]] = field(default_factory=dict)

    def add(self, at: float, name: str, labels: Mapping[str, str], value: float) -> None:
        """Put a sample behind those that are there; one that is not newer than the last is left out."""
        own = self.series.setdefault(name, {})
        found = own.setdefault(frozenset(labels.items()), Series(dict(labels)))
        if not found.times or at > found.times[-1]:
            found.times.append(at)
            found.values.append(value)

    def add_text(self, at: float, text: str, **labels: str) -> None:
        """All of our samples that an endpoint told, with labels added, as Prometheus adds those of a target."""
        for family in text_string_to_metric_families(_ours(text)):
            for sample in family.samples:
                self.add(at, sample.name, {**sample.labels, **labels}, sample.value)

    def add_figures(self, instants: Iterable[float], figures: Mapping[str, Sequence[Value]]) -> None:
        """What a job has found, as it is scraped again and again until the job's next run."""
        for at in instants:
            for name, values in figures.items():
                for value in values:
                    self.add(at, name, value.labels, value.value)

    def instants(self) -> list[float]:
        """At which panels are evaluated: from the first sample to the last, which is one of them."""
        times = [series.times for own in self.series.values() for series in own.values()]
        if not times:
            return []
        first, last = min(one[0] for one in times), max(one[-1] for one in times)
        return [last - number * self.step for number in range(int((last - first) / self.step), -1, -1)]


def _ours(text: str) -> str:
    """Without the comments: what kind a metric is follows from how it is asked about."""
    kept = (line for line in text.splitlines() if line.startswith(OURS) and CREATED not in line.partition("{")[0])
    return "\n".join(kept) + "\n"
