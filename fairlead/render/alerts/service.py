"""Alerts on a model's endpoint, beside its budgets."""

from fairlead.metrics import FEATURES_UNAVAILABLE, LOADS, MODEL_INFO, REQUESTS
from fairlead.render.alerts._base import AT_ONCE, Alert, Context, is_model, rises
from fairlead.spec import ModelSpec
from fairlead.spec._base import format_duration

FEATURES_UNAVAILABLE_SHARE = 0.05


def alerts(context: Context, model: ModelSpec) -> list[Alert]:
    """An endpoint that is gone, silent, stuck on an old version, or without features."""
    watched = [_silent(context, model, format_duration(model.slo.longest_silence))] if model.slo.longest_silence else []
    return [_absent(context, model), *watched, _refused(context, model), _without_features(context, model)]


def _absent(context: Context, model: ModelSpec) -> Alert:
    return Alert(
        "ModelServerAbsent",
        f"absent({context.of(MODEL_INFO, is_model(model))})",
        "critical",
        "5m",
        f"{model.name}: no server says that it serves the model.",
        "There is no server, none has the model, or Prometheus does not reach any: no other alert can see requests.",
        {"model": model.name},
    )


def _silent(context: Context, model: ModelSpec, longest: str) -> Alert:
    live = context.of(REQUESTS, is_model(model), 'traffic="live"')
    asked = f"sum(increase({live}[{context.pace.window(longest)}]))"
    return Alert(
        "TrafficStopped",
        f"({asked} or vector(0)) == 0",
        "warning",
        "15m",
        f"{model.name}: {{{{ $value }}}} requests in {longest}.",
        "Callers of this model are steady, as its spec says. Silence means that they do not reach it.",
        {"model": model.name},
    )


def _refused(context: Context, model: ModelSpec) -> Alert:
    refused = context.of(LOADS, is_model(model), 'result="refused"')
    return Alert(
        "ModelLoadRefused",
        rises(refused, "model", context.pace.window("30m")),
        "warning",
        AT_ONCE,
        f"{model.name}: {{{{ $value | humanize }}}} loads of a bundle were refused.",
        "What served keeps serving: the version that was asked for does not.",
        {"model": model.name},
    )


def _without_features(context: Context, model: ModelSpec) -> Alert:
    window = context.pace.window("5m")
    failed = f"sum by (model) (rate({context.of(FEATURES_UNAVAILABLE, is_model(model))}[{window}]))"
    asked = f"sum by (model) (rate({context.of(REQUESTS, is_model(model))}[{window}]))"
    return Alert(
        "FeaturesUnavailable",
        f"{failed} / {asked} > {FEATURES_UNAVAILABLE_SHARE}",
        "warning",
        "5m",
        f"{model.name}: {{{{ $value | humanizePercentage }}}} of the look-ups had no answer in time.",
        "Requests are answered on defaults or with 503, as serving.features.unavailable of the model says.",
        {"model": model.name},
    )
