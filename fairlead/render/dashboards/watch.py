"""What jobs that watch a model have found: drift, upstream, labels, quality."""

from fairlead import metrics as m
from fairlead.render.dashboards._base import Board, Panel, Query, Row, Series, lines, number
from fairlead.spec import ModelSpec

COLUMN = "{{feature}} {{test}} ({{kind}})"


def drift(model: ModelSpec) -> Board:
    """Drift by kind and column, and what feeds the model."""
    s = Series(model.name)
    return Board("drift", f"{model.name}: drift", [_verdicts(s), _columns(s), _upstream(s), _jobs(s)])


def performance(model: ModelSpec) -> Board:
    """Quality on labels that have arrived, and how complete they are."""
    s = Series(model.name)
    return Board("performance", f"{model.name}: performance", [_quality(s), _labels(s)])


def _verdicts(s: Series) -> Row:
    return Row(
        "Verdicts",
        [
            number("Alarms", s.highest(m.DRIFT_ALARM, "kind, version"), "{{kind}} @{{version}}", said="1: drift"),
            lines("Windows by verdict", s.highest(m.DRIFT_WINDOWS, "kind, verdict"), "{{kind}} {{verdict}}"),
            lines("Not enough data", s.highest(m.DRIFT_NOT_ENOUGH_DATA, "kind, version"), "{{kind}} @{{version}}"),
            Panel(
                "Rows compared",
                [
                    Query(s.highest(m.DRIFT_WINDOW_ROWS, "version"), "window @{{version}}"),
                    Query(s.highest(m.DRIFT_REFERENCE_ROWS, "version"), "reference @{{version}}"),
                ],
            ),
            lines("Age of the newest window", s.age(m.DRIFT_WINDOW_END, "version"), "{{version}}", "s"),
            number("Engine", s.highest(m.DRIFT_ENGINE, "engine, library"), "{{engine}} {{library}}"),
        ],
    )


def _columns(s: Series) -> Row:
    by = "kind, feature, test"
    return Row(
        "Columns",
        [
            lines("Columns that drift", f"{s.highest(m.DRIFT_FEATURE, by)} > 0", COLUMN, said="Empty: none does."),
            lines("The ten largest effects", f"topk(10, {s.highest(m.DRIFT_EFFECT, by)})", COLUMN),
            lines("The ten smallest p-values", f"bottomk(10, min by ({by}) ({s.of(m.DRIFT_P_VALUE)}))", COLUMN),
        ],
    )


def _upstream(s: Series) -> Row:
    return Row(
        "What feeds the model",
        [
            number("Upstream alarms", s.highest(m.UPSTREAM_ALARM, "cause"), "{{cause}}", said="1: broken"),
            lines("Age of the newest row of a view", s.highest(m.UPSTREAM_FRESHNESS, "view"), "{{view}}", "s"),
            lines(
                "Rows without a value",
                f"topk(10, {s.highest(m.UPSTREAM_MISSING, 'feature')})",
                "{{feature}}",
                "percentunit",
            ),
            lines("Rules on data that are broken", s.highest(m.UPSTREAM_BREACHES, "severity"), "{{severity}}"),
        ],
    )


def _jobs(s: Series) -> Row:
    by = "detector"
    failed = s.highest(m.MONITOR_FAILED, "detector, error")
    return Row(
        "Jobs that watch",
        [
            lines("Time since a run ended", s.age(m.MONITOR_LAST_RUN, by), "{{detector}}", "s"),
            lines("Time since there was a result", s.age(m.MONITOR_LAST_SUCCESS, by), "{{detector}}", "s"),
            number("Last run failed", failed, "{{detector}} {{error}}", said="0: it did not"),
            number("Results that cannot be read", f"max({s.of(m.MONITOR_UNREADABLE)})", "results"),
        ],
    )


def _quality(s: Series) -> Row:
    bound = "version, bound"
    return Row(
        "On labels that have arrived",
        [
            Panel(
                "ROC AUC",
                [
                    Query(s.highest(m.LIVE_ROC_AUC, bound), "{{version}} {{bound}}"),
                    Query(s.highest(m.LIVE_ESTIMATED_ROC_AUC, "version"), "{{version}} promised by its scores"),
                ],
                said="low and high: 95% by days. What scores promise alone is blind to concept drift.",
            ),
            lines("Log loss", s.highest(m.LIVE_LOG_LOSS, bound), "{{version}} {{bound}}"),
            lines("Calibration error", s.highest(m.LIVE_CALIBRATION_ERROR, bound), "{{version}} {{bound}}"),
            number(
                "Decay", s.highest(m.LIVE_DECAY, "version"), "{{version}}", said="1: worse than its reference for sure"
            ),
            number("Enough labels to judge", s.highest(m.LIVE_JUDGED, "version"), "{{version}}", said="1: yes"),
            lines("Rise of the loss", s.highest(m.LOSS_CHANGE, "version, detector"), "{{version}} {{detector}}"),
            number(
                "Since a rise was found",
                s.age(m.LOSS_CHANGE_TIMESTAMP, "version, detector"),
                "{{version}} {{detector}}",
                "s",
                said="Empty: none was found.",
            ),
        ],
    )


def _labels(s: Series) -> Row:
    return Row(
        "Labels",
        [
            lines("Predictions by their label", s.highest(m.LABELS_ROWS, "version, state"), "{{version}} {{state}}"),
            lines("Overdue", s.highest(m.LABELS_OVERDUE_RATIO, "version"), "{{version}}", "percentunit"),
            lines("Came again with another value", s.highest(m.LABELS_CONFLICTING_ROWS, "model"), "rows"),
            lines(
                "From a prediction to its label",
                s.highest(m.LABEL_DELAY_SECONDS, "version, quantile"),
                "{{version}} {{quantile}}",
                "s",
            ),
            number("Since labels were joined", s.age(m.PERFORMANCE_LAST_RUN, "model"), "{{model}}", "s"),
        ],
    )
