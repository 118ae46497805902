"""Alerts on the processes of an environment, whatever models it has."""

from fairlead.metrics import REJECTED, REQUESTS, ROLLOUT_GIT_UNAVAILABLE
from fairlead.render.alerts._base import Alert, Context, braces

OVERLOAD_SHARE = 0.01
UP = "up"
"""Prometheus' own: 1 where a target was scraped."""
OF_OTHERS = frozenset({UP})
"""Metrics that rules and dashboards use and that Fairlead does not emit."""


def alerts(context: Context) -> list[Alert]:
    """Targets that are down, servers that refuse for overload, a repository that cannot be reached."""
    return [_down(context), _overloaded(context), _no_git(context)]


def _down(context: Context) -> Alert:
    own = [f'namespace="{context.scope.namespace}"'] if context.scope.namespace is not None else []
    matchers = braces(*own, 'job=~".*fairlead.*"')
    return Alert(
        "TargetDown",
        f"{UP}{matchers} == 0",
        "warning",
        "10m",
        "{{ $labels.instance }} of {{ $labels.job }} cannot be scraped.",
        "Its metrics are missing, and with them all alerts that need them.",
    )


def _overloaded(context: Context) -> Alert:
    window = context.pace.window("5m")
    refused = context.of(REJECTED, 'reason="overload"')
    rejected = f"sum(rate({refused}[{window}]))"
    asked = f"(sum(rate({context.of(REQUESTS)}[{window}])) or vector(0))"
    return Alert(
        "RequestsRefused",
        f"{rejected} / ({rejected} + {asked}) > {OVERLOAD_SHARE}",
        "critical",
        "5m",
        "{{ $value | humanizePercentage }} of the requests are refused for overload.",
        "No model has seen them, so no error budget counts them.",
    )


def _no_git(context: Context) -> Alert:
    return Alert(
        "RolloutGitUnavailable",
        f"max by (environment) ({context.of(ROLLOUT_GIT_UNAVAILABLE)}) == 1",
        "warning",
        "10m",
        "{{ $labels.environment }}: the controller of releases cannot read or write the repository.",
        "Nothing is decided: no candidate gets more traffic, and a bad one is not rolled back.",
    )
