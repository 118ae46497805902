"""What a controller tells Prometheus of itself."""

from math import log
from typing import Any, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

from fairlead import metrics as catalogue
from fairlead.rollout.control import Look, Result
from fairlead.rollout.decide import Decision
from fairlead.rollout.evidence import LOG_HARD
from fairlead.rollout.quality import ALPHA, Quality
from fairlead.rollout.release import Release, Stage

NO_DECISION: frozenset[Result] = frozenset({"nothing", "overtaken"})
SIGNALS = {"errors": "errors", "slow answers": "slow_answers"}


class Telemetry:
    """The metrics of one environment's controller, in a registry of their own."""

    def __init__(self, environment: str) -> None:
        self.registry = CollectorRegistry()
        self._environment = environment
        self._metrics: dict[str, Any] = {}
        for metric in catalogue.ROLLOUT:
            kind = Counter if metric.kind == "counter" else Gauge
            self._metrics[metric.name] = kind(metric.name, metric.help, metric.labels, registry=self.registry)

    def looked(self, model: str, look: Look) -> None:
        """A look is over."""
        self._of(catalogue.ROLLOUT_LAST_LOOK, model).set(look.at.timestamp())
        self._of(catalogue.ROLLOUT_METRICS_UNAVAILABLE, model).set(look.unavailable is not None)
        self._release(model, look)
        if look.decision is not None:
            self._evidence(model, look.decision, look.answers.quality)
        # From 0 on: a counter that begins with its first 1 has no increase to be seen.
        for result in set(get_args(Result)) - NO_DECISION:
            self._of(catalogue.ROLLOUT_DECISIONS, model, result).inc(look.result == result)

    def reached(self, all_of_them: bool) -> None:
        """Whether all releases could be read and written."""
        self._of(catalogue.ROLLOUT_GIT_UNAVAILABLE).set(not all_of_them)

    def blind(self, model: str) -> None:
        """The counts of a model cannot be read."""
        self._of(catalogue.ROLLOUT_METRICS_UNAVAILABLE, model).set(1)

    def _release(self, model: str, look: Look) -> None:
        release: Release = look.release
        for stage in get_args(Stage):
            self._of(catalogue.ROLLOUT_STAGE, model, stage).set(stage == release.stage)
        self._of(catalogue.ROLLOUT_WEIGHT, model).set(release.weight / 100)
        reasons = {"undecided": release.waiting, "held": release.hold, "proposed": look.proposal}
        for reason, there in reasons.items():
            self._of(catalogue.ROLLOUT_WAITING, model, reason).set(there is not None)

    def _evidence(self, model: str, decision: Decision, quality: Quality | None) -> None:
        values = [("hard_stop", "harm", decision.log_hard, LOG_HARD)]
        for signal in decision.signals:
            name = SIGNALS[signal.name]
            values.append((name, "harm", signal.harm, signal.log_roll_back))
            values.append((name, "no_harm", signal.harmless, signal.log_advance))
        if quality is not None:
            values.append(("quality", "harm", quality.log_harm, -log(ALPHA)))
            values.append(("quality", "no_harm", quality.log_harmless, -log(ALPHA)))
        for name, of, value, threshold in values:
            self._of(catalogue.ROLLOUT_EVIDENCE, model, name, of).set(value)
            self._of(catalogue.ROLLOUT_THRESHOLD, model, name, of).set(threshold)

    def _of(self, metric: catalogue.Metric, *values: str) -> Any:
        return self._metrics[metric.name].labels(self._environment, *values)
