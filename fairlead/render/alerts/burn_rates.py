"""Alerts on how fast an error budget is used up, over two windows each.

A long window keeps one bad minute from waking anybody, and a short one ends the alert soon after the trouble. Source:
Beyer et al., The Site Reliability Workbook (2018), chapter 5, "Multiwindow, Multi-Burn-Rate Alerts".
"""

from typing import Literal, NamedTuple

from fairlead.metrics import LATENCY_SECONDS, REQUEST_SECONDS, REQUESTS
from fairlead.render.alerts._base import Alert, Context, Record, braces, is_model
from fairlead.spec import ModelSpec

SLOW_SHARE = 0.01
"""Of the requests may take longer than the objective of the 99th percentile."""


class Burn(NamedTuple):
    """How fast is too fast."""

    name: str
    rate: float
    """Times the speed at which a month's budget lasts a month."""
    long: str
    short: str
    wait: str
    severity: Literal["critical", "warning"]
    lasts: str


FAST = Burn("BurnsFast", 14.4, "1h", "5m", "2m", "critical", "two days")
SLOW = Burn("BurnsSlowly", 6, "6h", "30m", "15m", "warning", "five days")


class Budget(NamedTuple):
    """What may go wrong, and how it is counted."""

    name: str
    record: str
    share: float
    bad: str
    """Rate of what went wrong, where `WINDOW` stands for the window."""
    all: str
    said: str


def records(context: Context, model: ModelSpec) -> list[Record]:
    """The shares of bad requests over each window, once for all alerts and panels."""
    return [
        Record(
            f"{budget.record}{window}",
            _over(f"({budget.bad} or 0 * {budget.all}) / {budget.all}", context.pace.window(window)),
        )
        for budget in _budgets(context, model)
        for burn in (FAST, SLOW)
        for window in (burn.short, burn.long)
    ]


def alerts(context: Context, model: ModelSpec) -> list[Alert]:
    """A page and a ticket for failed requests, and the same for slow ones."""
    return [_alert(context, model, budget, burn) for budget in _budgets(context, model) for burn in (FAST, SLOW)]


def _alert(context: Context, model: ModelSpec, budget: Budget, burn: Burn) -> Alert:
    limit = f"{burn.rate * budget.share:.6g}"
    known = braces(*(f'{name}="{value}"' for name, value in {"model": model.name, **context.scope.labels}.items()))
    least = _over(budget.bad.replace("rate(", "increase("), context.pace.window(burn.long))
    return Alert(
        f"{budget.name}{burn.name}",
        f"{budget.record}{burn.long}{known} > {limit} and {budget.record}{burn.short}{known} > {limit} "
        f"and on (model) {least} >= {model.slo.min_failures}",
        burn.severity,
        burn.wait,
        f"{model.name}: {{{{ $value | humanizePercentage }}}} of the requests {budget.said} over {burn.long}.",
        f"The objective leaves {budget.share:.4g} of the requests. At {burn.rate:g} times that speed the budget of a "
        f"month lasts {burn.lasts}.",
        {"model": model.name},
    )


def _over(rate: str, window: str) -> str:
    return rate.replace("WINDOW", window)


def _budgets(context: Context, model: ModelSpec) -> list[Budget]:
    live = (is_model(model), 'traffic="live"')
    bound = min(LATENCY_SECONDS, key=lambda bound: abs(bound - model.slo.latency_p99_ms / 1000))
    count = context.of(REQUEST_SECONDS, *live, suffix="_count")
    quick = context.of(REQUEST_SECONDS, *live, f'le="{bound}"', suffix="_bucket")
    failed = context.of(REQUESTS, *live, 'status=~"5.."')
    every = f"sum by (model) (rate({count}[WINDOW]))"
    return [
        Budget(
            "ErrorBudget",
            "fairlead:requests_failed:ratio_rate",
            1 - model.slo.availability,
            f"sum by (model) (rate({failed}[WINDOW]))",
            f"sum by (model) (rate({context.of(REQUESTS, *live)}[WINDOW]))",
            "failed",
        ),
        Budget(
            "LatencyBudget",
            "fairlead:requests_slow:ratio_rate",
            SLOW_SHARE,
            f"({every} - sum by (model) (rate({quick}[WINDOW])))",
            every,
            f"took longer than {model.slo.latency_p99_ms:g} ms",
        ),
    ]
