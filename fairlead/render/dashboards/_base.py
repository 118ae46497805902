"""What a dashboard is made of, before anything of Grafana: titles, queries, units."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fairlead.metrics import Metric
from fairlead.render.alerts._base import braces

Unit = Literal["short", "percentunit", "s", "ms", "reqps", "bytes", "dateTimeFromNow"]
"""As Grafana names them."""
Kind = Literal["lines", "number"]
"""`number`: only the newest values show."""
RATE = "$__rate_interval"
"""A window that Grafana makes at least four scrapes long."""


@dataclass(frozen=True)
class Query:
    """A line, or several."""

    expr: str
    legend: str
    """With labels as `{{version}}`."""


@dataclass(frozen=True)
class Panel:
    """One picture."""

    title: str
    queries: Sequence[Query]
    unit: Unit = "short"
    kind: Kind = "lines"
    said: str = ""
    """What a reader should know to read it."""
    limit: float | None = None
    """Drawn as a line: above it something is wrong."""


@dataclass(frozen=True)
class Row:
    """Panels side by side, under a title."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Board:
    """One dashboard of a model."""

    name: str
    """Of its file, after the model's."""
    title: str
    rows: Sequence[Row]


@dataclass(frozen=True)
class Series:
    """Series of one model, in the environment that a reader has chosen."""

    model: str

    def of(self, metric: Metric, *matchers: str, suffix: str = "") -> str:
        """A metric's series: of the model where it has that label, of the environment in any case."""
        chosen = 'environment=~"$environment"' if "environment" in metric.labels else 'namespace=~"$namespace"'
        model = [f'model="{self.model}"'] if "model" in metric.labels else []
        return f"{metric.name}{suffix}{braces(*model, chosen, *matchers)}"

    def rate(self, metric: Metric, by: str, *matchers: str, suffix: str = "") -> str:
        """Of a counter, a second."""
        return f"sum by ({by}) (rate({self.of(metric, *matchers, suffix=suffix)}[{RATE}]))"

    def highest(self, metric: Metric, by: str, *matchers: str) -> str:
        """Of a gauge."""
        return f"max by ({by}) ({self.of(metric, *matchers)})"

    def age(self, metric: Metric, by: str, *matchers: str) -> str:
        """Seconds since an instant."""
        return f"time() - {self.highest(metric, by, *matchers)}"

    def quantile(self, share: float, metric: Metric, by: str, *matchers: str) -> str:
        """Of a histogram, in its unit."""
        rates = self.rate(metric, f"{by}, le" if by else "le", *matchers, suffix="_bucket")
        return f"histogram_quantile({share}, {rates})"


def lines(title: str, expr: str, legend: str, unit: Unit = "short", **more: object) -> Panel:
    """A panel of one query."""
    return Panel(title, [Query(expr, legend)], unit, **more)  # type: ignore[arg-type]


def number(title: str, expr: str, legend: str, unit: Unit = "short", said: str = "") -> Panel:
    """A panel of one query, of which only the newest values show."""
    return Panel(title, [Query(expr, legend)], unit, kind="number", said=said)
