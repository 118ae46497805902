"""What all alerts share: whose series they look at, how long they wait, and how they are written."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from fairlead.metrics import Metric
from fairlead.spec import ModelSpec
from fairlead.spec._base import parse_duration

Rule = dict[str, Any]
"""As Prometheus reads it."""
AT_ONCE = ""
LONGEST_LINE = 100


@dataclass(frozen=True)
class Scope:
    """Whose series: those of one environment, where several share a Prometheus, or all that there are."""

    environment: str | None = None
    namespace: str | None = None

    @property
    def labels(self) -> dict[str, str]:
        """What an alert says of the environment it is about."""
        known = {"environment": self.environment, "namespace": self.namespace}
        return {name: value for name, value in known.items() if value is not None}


@dataclass(frozen=True)
class Pace:
    """How long windows and waits are. Tests of a real Prometheus make all of them shorter, and nothing else."""

    factor: float = 1
    longest_wait: timedelta | None = None
    """Bound of the waits before an alert fires, after `factor`; windows keep their proportions."""

    def window(self, text: str) -> str:
        """A window of `5m`, `6h` or `1d` in PromQL."""
        return _written(parse_duration(text) * self.factor)

    def wait(self, text: str) -> str:
        """How long an expression must hold."""
        scaled = parse_duration(text) * self.factor
        return _written(min(scaled, self.longest_wait) if self.longest_wait is not None else scaled)

    def seconds(self, limit: timedelta) -> str:
        """An age in PromQL."""
        return f"{limit.total_seconds() * self.factor:g}"


@dataclass(frozen=True)
class Context:
    """For whom rules are written."""

    runbooks: str
    """Address of the folder of runbooks, without a slash at its end."""
    scope: Scope = Scope()
    pace: Pace = Pace()
    controlled: bool = True
    """A controller looks at releases here. Where persons write them, nobody misses its looks."""

    def of(self, metric: Metric, *matchers: str, suffix: str = "") -> str:
        """The series of a metric in this scope: `of(REQUESTS, 'status=~"5.."')`.

        Args:
            metric: of the catalogue.
            matchers: as PromQL has them.
            suffix: `_bucket`, `_count` or `_sum` of a histogram.
        """
        if "environment" in metric.labels:
            label, value = "environment", self.scope.environment
        else:
            label, value = "namespace", self.scope.namespace
        own = [f'{label}="{value}"'] if value is not None else []
        return f"{metric.name}{suffix}" + braces(*own, *matchers)


@dataclass(frozen=True)
class Record:
    """A series that Prometheus computes."""

    name: str
    expr: str

    def rule(self, context: Context) -> Rule:
        """As Prometheus reads it."""
        labels = {"labels": context.scope.labels} if context.scope.labels else {}
        return {"record": self.name, "expr": _lines(self.expr), **labels}


@dataclass(frozen=True)
class Alert:
    """What somebody is told, and when."""

    name: str
    expr: str
    severity: Literal["critical", "warning"]
    """`critical`: a person is woken, as callers suffer or nobody watches any more. `warning`: a ticket."""
    wait: str
    """How long the expression must hold, such as `5m`; `AT_ONCE` where what is measured has waited already."""
    summary: str
    description: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def rule(self, context: Context) -> Rule:
        """As Prometheus reads it; its runbook is named after it."""
        wait = {"for": context.pace.wait(self.wait)} if self.wait != AT_ONCE else {}
        return {
            "alert": self.name,
            "expr": _lines(self.expr),
            **wait,
            "labels": {"severity": self.severity, **self.labels, **context.scope.labels},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{context.runbooks}/{kebab(self.name)}.md",
            },
        }


def braces(*matchers: str) -> str:
    """Matchers of a series."""
    return "{" + ", ".join(matchers) + "}" if matchers else ""


def kebab(name: str) -> str:
    """`ModelDecay` as `model-decay`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def is_model(model: ModelSpec) -> str:
    """The matcher of a model's series."""
    return f'model="{model.name}"'


def age(series: str, by: str, limit: str) -> str:
    """Seconds since an instant, where they are more than `limit`; infinite where nobody tells the instant."""
    return f"time() - max by ({by}) ({series}) > {limit} or absent({series}) * Inf"


def rises(counter: str, by: str, window: str) -> str:
    """By how much a counter rose, where it did. A counter that is new began at 0: `increase` misses that step."""
    return (
        f"sum by ({by}) (increase({counter}[{window}])) > 0 "
        f"or sum by ({by}) ({counter} unless {counter} offset {window}) > 0"
    )


def _lines(expr: str) -> str:
    """One line for each side of a set operator, so that a person can read it and a diff is small."""
    return re.sub(r" (or|and|unless|/) ", r"\n\1 ", expr) if len(expr) > LONGEST_LINE else expr


def _written(duration: timedelta) -> str:
    """In the largest unit that gives a whole number."""
    milliseconds = max(round(duration / timedelta(milliseconds=1)), 0)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"
