"""Rules as Prometheus reads them, in groups."""

from collections.abc import Sequence
from typing import Any

from fairlead.render.alerts import burn_rates, platform, records, release, service, watch
from fairlead.render.alerts._base import Alert, Context, Record
from fairlead.spec import ModelSpec

Group = dict[str, Any]
"""`name` and `rules`; evaluated one after the other, at once with other groups."""


def model_groups(context: Context, model: ModelSpec) -> list[Group]:
    """All rules of one model."""
    parts: dict[str, Sequence[Alert | Record]] = {
        "service": [
            *burn_rates.records(context, model),
            *burn_rates.alerts(context, model),
            *service.alerts(context, model),
        ],
        "watch": [*records.of_model(context, model), *watch.alerts(context, model)],
        "rollout": release.rollout(context, model),
        "retraining": release.retraining(context, model),
    }
    return [_group(f"{model.name}-{name}", context, rules) for name, rules in parts.items() if rules]


def environment_groups(context: Context) -> list[Group]:
    """Rules on what all models of an environment share."""
    return [
        _group("fairlead-platform", context, platform.alerts(context)),
        _group("fairlead-records", context, records.of_environment(context)),
    ]


def _group(name: str, context: Context, rules: Sequence[Alert | Record]) -> Group:
    return {"name": name, "rules": [rule.rule(context) for rule in rules]}
