"""Alerts on what jobs that watch a model find, and on their silence, which must not mean health."""

from fairlead.metrics import (
    DRIFT_ALARM,
    DRIFT_FEATURE,
    DRIFT_NOT_ENOUGH_DATA,
    LABELS_CONFLICTING_ROWS,
    LABELS_OVERDUE_RATIO,
    LABELS_ROWS,
    LIVE_DECAY,
    LIVE_JUDGED,
    LIVE_ROC_AUC,
    LOSS_CHANGE,
    MONITOR_FAILED,
    MONITOR_LAST_SUCCESS,
    UPSTREAM_ALARM,
)
from fairlead.render.alerts._base import AT_ONCE, Alert, Context, age, is_model
from fairlead.spec import ModelSpec
from fairlead.spec._base import format_duration

DETECTORS = ("drift", "performance")
"""Jobs that watch a model, as their results name them."""
OVERDUE_SHARE = 0.2
CONFLICT_SHARE = 0.01

_KINDS: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("InputDrift", "input", "What callers send differs from the reference.", {}),
    ("FeatureDrift", "feature", "What is looked up differs, for the same requests: suspect the pipeline first.", {}),
    ("PredictionDrift", "prediction", "Scores are distributed differently than on the reference.", {}),
)


def alerts(context: Context, model: ModelSpec) -> list[Alert]:
    """Detectors, drift, upstream, labels and quality of one model."""
    return [*_detectors(context, model), *_drift(context, model), *_quality(context, model), *_labels(context, model)]


def _detectors(context: Context, model: ModelSpec) -> list[Alert]:
    limit = context.pace.seconds(model.slo.watched_within)
    stale = " or ".join(
        age(context.of(MONITOR_LAST_SUCCESS, is_model(model), f'detector="{name}"'), "model, detector", limit)
        for name in DETECTORS
    )
    return [
        Alert(
            "DetectorStale",
            stale,
            "warning",
            "1h",
            f"{model.name}: no result of {{{{ $labels.detector }}}} for {{{{ $value | humanizeDuration }}}}.",
            f"It must have one every {format_duration(model.slo.watched_within)} (+Inf: nobody tells of any). Until "
            "then no news of it is no good news.",
            {"model": model.name},
        ),
        Alert(
            "DetectorFails",
            f"max by (model, detector, error) ({context.of(MONITOR_FAILED, is_model(model))}) == 1",
            "warning",
            "30m",
            f"{model.name}: the last run of {{{{ $labels.detector }}}} failed with {{{{ $labels.error }}}}.",
            "Its figures are those of the last run that did not fail.",
            {"model": model.name},
        ),
    ]


def _drift(context: Context, model: ModelSpec) -> list[Alert]:
    unknown = context.of(DRIFT_NOT_ENOUGH_DATA, is_model(model))
    upstream = context.of(UPSTREAM_ALARM, is_model(model))
    return [
        *(_drifted(context, model, *kind) for kind in _KINDS),
        Alert(
            "DriftUnknown",
            f"max by (model, kind) ({unknown}) == 1",
            "warning",
            "2d",
            f"{model.name}: for two days there was not enough data to say anything of {{{{ $labels.kind }}}} drift.",
            "It is not the same as no drift. Windows are too small, or at other hours than the reference.",
            {"model": model.name},
        ),
        Alert(
            "UpstreamBroken",
            f"max by (model, cause) ({upstream}) == 1",
            "warning",
            "15m",
            f"{model.name}: what feeds the model is not as it should be ({{{{ $labels.cause }}}}).",
            "Mend the source before anything is trained on it: drift found at the same time is likely of this.",
            {"model": model.name},
        ),
    ]


def _drifted(context: Context, model: ModelSpec, name: str, kind: str, said: str, labels: dict[str, str]) -> Alert:
    match = (is_model(model), f'kind="{kind}"')
    columns = context.of(DRIFT_FEATURE, *match).replace('"', "'")
    named = f'{{{{ range query "{columns} == 1" }}}}{{{{ .Labels.feature }}}} ({{{{ .Labels.test }}}}) {{{{ end }}}}'
    return Alert(
        name,
        f"max by (model, version) ({context.of(DRIFT_ALARM, *match)}) == 1",
        "warning",
        AT_ONCE,
        f"{model.name}@{{{{ $labels.version }}}}: {kind} drift in enough of the last windows.",
        f"{said} Columns of the newest window: {named}",
        {"model": model.name, **labels},
    )


def _quality(context: Context, model: ModelSpec) -> list[Alert]:
    auc = context.of(LIVE_ROC_AUC, is_model(model), 'bound="value"').replace('"', "'")
    value = '{{ .Value | printf "%.3f" }} (version {{ .Labels.version }}) {{ end }}'
    now = f'{{{{ range query "{auc}" }}}}{value}'
    change = context.of(LOSS_CHANGE, is_model(model))
    return [
        Alert(
            "ModelDecay",
            f"max by (model, version) ({context.of(LIVE_DECAY, is_model(model))}) == 1",
            "warning",
            AT_ONCE,
            f"{model.name}@{{{{ $labels.version }}}}: on labels that arrived it is worse than its scores promise.",
            f"Live ROC AUC: {now}",
            {"model": model.name, "retraining": "decay"},
        ),
        Alert(
            "LossRises",
            f"max by (model, version, detector) ({change}) == 1",
            "warning",
            AT_ONCE,
            f"{model.name}@{{{{ $labels.version }}}}: {{{{ $labels.detector }}}} finds a rise of the log loss.",
            "It is told sooner than decay, and is less sure: the loss rises also where rows have become harder.",
            {"model": model.name},
        ),
        Alert(
            "PerformanceUnknown",
            f"max by (model) ({context.of(LIVE_JUDGED, is_model(model))}) == 0",
            "warning",
            "7d",
            f"{model.name}: for a week no version had enough labels to be judged.",
            "Decay cannot be found without labels.",
            {"model": model.name},
        ),
    ]


def _labels(context: Context, model: ModelSpec) -> list[Alert]:
    overdue = context.of(LABELS_OVERDUE_RATIO, is_model(model))
    conflicting = f"max by (model) ({context.of(LABELS_CONFLICTING_ROWS, is_model(model))})"
    known = context.of(LABELS_ROWS, is_model(model), 'state="known"')
    return [
        Alert(
            "LabelsOverdue",
            f"max by (model, version) ({overdue}) > {OVERDUE_SHARE}",
            "warning",
            "1h",
            f"{model.name}@{{{{ $labels.version }}}}: {{{{ $value | humanizePercentage }}}} of the labels are overdue.",
            "What is measured on the others may be of an easier part of the rows.",
            {"model": model.name},
        ),
        Alert(
            "LabelsConflict",
            f"{conflicting} / sum by (model) ({known}) > {CONFLICT_SHARE}",
            "warning",
            "1h",
            f"{model.name}: {{{{ $value | humanizePercentage }}}} of the labels came again with another value.",
            "If sources correct labels, the time at which a label counts as known is too early.",
            {"model": model.name},
        ),
    ]
