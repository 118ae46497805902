"""What changes a model: its rollout, its retraining and what that costs."""

from fairlead import metrics as m
from fairlead.render.dashboards._base import Board, Row, Series, lines, number
from fairlead.spec import ModelSpec

SIGNAL = "{{signal}} {{of}}"


def rollout(model: ModelSpec) -> Board:
    """Stage, traffic, evidence and who is waited for."""
    s = Series(model.name)
    return Board("rollout", f"{model.name}: rollout", [_release(s), _evidence(s)])


def retraining(model: ModelSpec) -> Board:
    """Requests, answers and runs."""
    s = Series(model.name)
    return Board("retraining", f"{model.name}: retraining and cost", [_brakes(s), _cost(s)])


def _release(s: Series) -> Row:
    stage = f"{s.highest(m.ROLLOUT_STAGE, 'environment, stage')} > 0"
    decisions = f"sum by (result) (increase({s.of(m.ROLLOUT_DECISIONS)}[1d]))"
    return Row(
        "Release",
        [
            number("Stage", stage, "{{environment}} {{stage}}"),
            lines(
                "Requests to the candidate",
                s.highest(m.ROLLOUT_WEIGHT, "environment"),
                "{{environment}}",
                "percentunit",
            ),
            lines("Decisions in a day", decisions, "{{result}}"),
            number(
                "Waits for a person", s.highest(m.ROLLOUT_WAITING, "environment, reason"), "{{reason}}", said="1: yes"
            ),
            number("Since the last look", s.age(m.ROLLOUT_LAST_LOOK, "environment"), "{{environment}}", "s"),
            lines("Counts cannot be read", s.highest(m.ROLLOUT_METRICS_UNAVAILABLE, "environment"), "{{environment}}"),
            lines("Git cannot be reached", s.highest(m.ROLLOUT_GIT_UNAVAILABLE, "environment"), "{{environment}}"),
        ],
    )


def _evidence(s: Series) -> Row:
    by = "environment, signal, of"
    evidence, threshold = s.highest(m.ROLLOUT_EVIDENCE, by), s.highest(m.ROLLOUT_THRESHOLD, by)
    return Row(
        "Evidence",
        [
            lines("Logarithm of the e-values", evidence, SIGNAL),
            lines("At which they decide", threshold, SIGNAL),
            lines("Still missing to a decision", f"{threshold} - {evidence}", SIGNAL, said="0 or below: decided."),
        ],
    )


def _brakes(s: Series) -> Row:
    answers = f"sum by (trigger, answer) (increase({s.of(m.RETRAINING_REQUESTS)}[1d]))"
    return Row(
        "Requests and brakes",
        [
            number("State", f"{s.highest(m.RETRAINING_STATE, 'state')} > 0", "{{state}}"),
            lines("Requests in a day", answers, "{{trigger}} {{answer}}"),
            number(
                "Refused for", s.highest(m.RETRAINING_BLOCKED, "reason"), "{{reason}}", said="1: the newest request"
            ),
            lines("Failures in a row", s.highest(m.RETRAINING_FAILURES, "model"), "{{model}}"),
            number("Since the last start", s.age(m.RETRAINING_LAST_START, "model"), "{{model}}", "s"),
            number("Since the last success", s.age(m.RETRAINING_LAST_SUCCESS, "model"), "{{model}}", "s"),
            number("Since requests were looked at", s.age(m.RETRAINING_LAST_RUN, "model"), "{{model}}", "s"),
        ],
    )


def _cost(s: Series) -> Row:
    runs, budget = s.highest(m.RETRAINING_RUNS_IN_MONTH, "model"), s.highest(m.RETRAINING_BUDGET, "model")
    scored = f"sum by (model) (increase({s.of(m.PREDICTIONS)}[1d]))"
    seconds = s.rate(m.REQUEST_SECONDS, "model", suffix="_sum")
    return Row(
        "Cost",
        [
            lines("Retrainings in this month", runs, "started"),
            lines("Budget of a month", budget, "may be started"),
            lines("Used of the budget", f"{runs} / {budget}", "{{model}}", "percentunit", limit=1.0),
            lines("Rows scored in a day", scored, "{{model}}"),
            lines("Requests under way on average", seconds, "{{model}}", said="Seconds of answering in a second."),
        ],
    )
