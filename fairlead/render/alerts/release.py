"""Alerts on what changes a model: its rollout and its retraining."""

from datetime import timedelta

from fairlead.metrics import (
    RETRAINING_BLOCKED,
    RETRAINING_FAILURES,
    RETRAINING_LAST_RUN,
    ROLLOUT_LAST_LOOK,
    ROLLOUT_METRICS_UNAVAILABLE,
    ROLLOUT_STAGE,
    ROLLOUT_WAITING,
)
from fairlead.render.alerts._base import AT_ONCE, Alert, Context, age, is_model
from fairlead.spec import ModelSpec
from fairlead.spec._base import format_duration

LONGEST_LOOK = timedelta(minutes=15)
"""Between two looks of the controller at a release; it looks every window, some seconds to minutes."""
NOT_BY_DESIGN = "held|backing_off|budget|few_labels"
"""Refusals that a person may want to change; to cool down, or to run already, is what brakes are for."""


def rollout(context: Context, model: ModelSpec) -> list[Alert]:
    """A controller that does not look, cannot see, waits or has rolled back; nothing where there is none."""
    return _rollout(context, model) if context.controlled else []


def _rollout(context: Context, model: ModelSpec) -> list[Alert]:
    match = is_model(model)
    looks = context.of(ROLLOUT_LAST_LOOK, match)
    waiting = context.of(ROLLOUT_WAITING, match)
    rolled_back = context.of(ROLLOUT_STAGE, match, 'stage="rolled_back"')
    labels = {"model": model.name}
    return [
        Alert(
            "RolloutControllerStale",
            age(looks, "environment, model", context.pace.seconds(LONGEST_LOOK)),
            "warning",
            "5m",
            f"{model.name}: its release was not looked at for {{{{ $value | humanizeDuration }}}}.",
            "No controller runs for it (+Inf: none can be seen), or it hangs: a bad candidate is not rolled back.",
            labels,
        ),
        Alert(
            "RolloutWaitsForPerson",
            f"max by (environment, model, reason) ({waiting}) == 1",
            "warning",
            "15m",
            f"{model.name}: the release waits for a person ({{{{ $labels.reason }}}}).",
            "undecided: approve or abort; held: resume; proposed: merge or close the pull request.",
            labels,
        ),
        Alert(
            "RolloutMetricsUnavailable",
            f"max by (environment, model) ({context.of(ROLLOUT_METRICS_UNAVAILABLE, match)}) == 1",
            "warning",
            "10m",
            f"{model.name}: the controller cannot read what its versions have answered.",
            "The release is held where it is: a candidate keeps its traffic unjudged.",
            labels,
        ),
        Alert(
            "RolloutRolledBack",
            f"max by (environment, model) ({rolled_back}) == 1",
            "warning",
            AT_ONCE,
            f"{model.name}: the candidate was rolled back.",
            "Stable answers all requests again. The candidate needs a look before anybody tries it once more.",
            labels,
        ),
    ]


def retraining(context: Context, model: ModelSpec) -> list[Alert]:
    """Brakes that nobody asks, that refuse for long, or runs that fail one after the other."""
    match = is_model(model)
    blocked = context.of(RETRAINING_BLOCKED, match, f'reason=~"{NOT_BY_DESIGN}"')
    within = model.slo.watched_within
    labels = {"model": model.name}
    return [
        Alert(
            "RetrainingBlocked",
            f"max by (model, reason) ({blocked}) == 1",
            "warning",
            "1d",
            f"{model.name}: a retraining is asked for and refused for a day ({{{{ $labels.reason }}}}).",
            "Something asks because the model has drifted or decayed, and the brakes say no.",
            labels,
        ),
        Alert(
            "RetrainingFails",
            f"max by (model) ({context.of(RETRAINING_FAILURES, match)}) >= {model.retraining.failures_in_a_row}",
            "warning",
            AT_ONCE,
            f"{model.name}: the last {{{{ $value }}}} retrainings failed.",
            f"None is tried for {format_duration(model.retraining.back_off)}: something is broken that trying again "
            "does not mend.",
            labels,
        ),
        Alert(
            "RetrainingBrakesStale",
            age(context.of(RETRAINING_LAST_RUN, match), "model", context.pace.seconds(within)),
            "warning",
            "1h",
            f"{model.name}: nobody looked at requests for retraining for {{{{ $value | humanizeDuration }}}}.",
            "Requests wait unanswered (+Inf: no result of the job can be seen).",
            labels,
        ),
    ]
