"""From the record of a run to what the report shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import Literal

from fairlead.evaluation import GateResult
from fairlead.lineage.digest import hash_file
from fairlead.lineage.record import RunRecord
from fairlead.packaging.bundle import BUNDLE_FILE
from fairlead.panels.fill import together
from fairlead.panels.shown import Boards
from fairlead.replay.result import Comparison
from fairlead.report import summary as s
from fairlead.report.view import drawings
from fairlead.tables.quality import RuleResult


@dataclass(frozen=True)
class Circumstances:
    """What is not in the record: this time's steps, and what became of the model since."""

    version: str = "0"
    aliases: tuple[str, ...] = ()
    run_id: str | None = None
    tracking_uri: str = ""
    started_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    seconds: float = 0.0
    home: str = ""
    steps: tuple[s.Step, ...] = ()
    data_docs: str | None = None
    bundle: Path | None = None
    replay: s.Replay | None = None
    canary: s.Canary | None = None
    month: Comparison | None = None
    boards: tuple[Boards, ...] = ()
    """The same dashboards, from each part of the run that had something to show."""
    next: tuple[s.NextCommand, ...] = ()


def summarise(record: RunRecord, now: Circumstances) -> s.Summary:
    """Everything the report shows, in its order."""
    return s.Summary(
        run=_run(record, now),
        data=_data(record, now),
        features=_features(record),
        tuning=_tuning(record),
        evaluation=_evaluation(record),
        bundle=_bundle(record, now),
        registry=s.Registry(
            model=record.bundle.model,
            version=now.version,
            aliases=now.aliases,
            tracking_uri=now.tracking_uri,
            run_id=now.run_id,
            status="accepted" if record.accepted else "refused",
            reasons=tuple(record.refusals),
        ),
        replay=now.replay,
        canary=now.canary,
        month=now.month,
        boards=reduce(together, now.boards).boards if now.boards else (),
        next=now.next,
    )


def run_plots(record: RunRecord) -> dict[str, str]:
    """File name → SVG, for the registry."""
    return {f"{name}.svg": svg for name, svg in drawings(summarise(record, Circumstances())).items()}


def _run(record: RunRecord, now: Circumstances) -> s.Run:
    return s.Run(
        model=record.bundle.model,
        description=record.bundle.description,
        dataset=record.bundle.dataset,
        version=now.version,
        as_of=datetime.fromisoformat(record.plan.as_of),
        started_at=now.started_at,
        seconds=now.seconds,
        fairlead_version=record.fairlead_version,
        git_commit=record.git_commit,
        code_version=record.plan.code_version,
        lock_hash=record.lock,
        home=now.home,
        steps=now.steps,
    )


def _data(record: RunRecord, now: Circumstances) -> s.Data:
    severities: tuple[Literal["critical", "warning"], ...] = ("critical", "warning")
    failures = record.quality.failures()
    tables = record.plan.dataset.tables
    counts = []
    for severity in severities:
        rules = [result for result in record.quality.results if result.rule.severity == severity]
        passed = sum(result.passed for result in rules)
        counts.append(s.SeverityCount(severity=severity, rules=len(rules), passed=passed, failed=len(rules) - passed))
    return s.Data(
        tables=tuple(
            s.TableRecord(
                name=table.name,
                source=table.source,
                sha256=table.sha256,
                rows=table.rows,
                version=table.version,
                columns=len(tables[table.name].all_columns),
            )
            for table in record.tables
        ),
        quality=s.Quality(counts=tuple(counts), failed=tuple(map(_failed, failures)), data_docs=now.data_docs),
    )


def _failed(result: RuleResult) -> s.FailedRule:
    examples = [" ".join(f"{name}={value}" for name, value in row.items()) for row in result.examples]
    return s.FailedRule(
        table=result.rule.table,
        column=", ".join(result.rule.columns) or None,
        rule=result.rule.text,
        severity=result.rule.severity,
        unexpected=result.unexpected,
        rows=result.rows,
        examples=tuple(examples),
    )


def _features(record: RunRecord) -> s.Features:
    records = []
    for column in record.columns:
        view, _, _ = column.name.rpartition("__")
        records.append(
            s.FeatureRecord(
                name=column.name,
                view=view or None,
                kind=column.kind,
                source=column.source,
                missing_share=column.missing_share,
                mean=column.mean,
                low=column.low,
                high=column.high,
                categories=column.categories,
                importance=record.evaluation.importance.get(column.name),
            )
        )
    splits = [
        s.SplitRecord(
            name=period.name,
            rows=period.rows,
            start=_day(period.start, record),
            end=_day(period.end, record) - timedelta(days=1),
            base_rate=period.positive_share,
        )
        for period in record.periods
    ]
    names = {column.name for column in record.columns}
    keys = [key for key in record.bundle.signature.entities if key not in names]
    measure = "loss of ROC AUC on the test period when the values are shuffled"
    return s.Features(records=tuple(records), importance_measure=measure, splits=tuple(splits), keys=tuple(keys))


def _day(instant: str, record: RunRecord) -> date:
    from zoneinfo import ZoneInfo

    zone = record.plan.dataset.timezone
    return datetime.fromisoformat(instant).astimezone(ZoneInfo(zone)).date()


def _tuning(record: RunRecord) -> s.Tuning:
    spec = record.spec.tuning
    trials = [
        s.Trial(
            number=trial.number,
            candidate=trial.candidate,
            params=trial.params,
            value=trial.value,
            state=trial.state,
            seconds=trial.seconds,
        )
        for trial in record.training.trials
    ]
    return s.Tuning(
        sampler=spec.sampler,
        seed=spec.seed,
        objective=spec.optimise,
        folds=spec.folds,
        trials=tuple(trials),
        best=record.training.best_trial,
    )


def _evaluation(record: RunRecord) -> s.Evaluation:
    found = record.evaluation
    metrics = [
        s.MetricRecord(name=name, value=item.value, low=item.low, high=item.high, level=item.level)
        for name, item in found.metrics.items()
    ]
    slices = [
        s.SliceRecord(
            column=item.column,
            value=item.value,
            rows=item.rows,
            base_rate=item.positives / item.rows,
            roc_auc=item.metrics.get("roc_auc"),
            enough_rows=item.enough_rows,
        )
        for item in found.slices
    ]
    return s.Evaluation(
        metrics=tuple(metrics),
        baselines=tuple(_baselines(record)),
        roc=tuple(
            s.RocPoint(false_positive_rate=x, true_positive_rate=y)
            for x, y in zip(found.roc.false_positive_rate, found.roc.true_positive_rate, strict=True)
        ),
        calibration=tuple(
            s.CalibrationBin(
                mean_predicted=item.mean_score,
                observed=item.observed_rate,
                low=item.low,
                high=item.high,
                rows=item.rows,
            )
            for item in found.calibration
        ),
        scores=tuple(s.ScoreBin(low=low, high=high, rows=rows) for low, high, rows in found.histogram),
        slices=tuple(slices),
        champion=_champion(record),
        gates=tuple(
            s.GateRecord(
                name=gate.name,
                rule=gate.rule,
                value=measured(gate),
                passed=gate.passed,
                reason=gate.reason,
            )
            for gate in found.gates
        ),
        threshold=record.training.threshold,
        confusion=s.Confusion(**found.confusion.model_dump()),
    )


def measured(gate: GateResult) -> str:
    """What a gate was applied to; where that is nothing, whether it should have been something."""
    if gate.value is not None:
        return f"{gate.value:.4g}"
    if not gate.passed:
        return "not measured"
    return "no champion yet" if gate.name == "champion" else "nothing to judge"


def _baselines(record: RunRecord) -> Sequence[s.Baseline]:
    found = []
    for item in record.evaluation.baselines:
        known: dict[str, float | None] = dict(item.metrics) or {"roc_auc": item.roc_auc, "log_loss": item.log_loss}
        found += [
            s.Baseline(name=item.name, metric=name, value=value) for name, value in known.items() if value is not None
        ]
    return found


def _champion(record: RunRecord) -> s.ChampionComparison | None:
    found = record.evaluation.comparison
    if found is None:
        return None
    return s.ChampionComparison(
        version=record.evaluation.champion,
        metric=found.metric,
        difference=found.difference,
        low=found.interval.low,
        high=found.interval.high,
        level=found.interval.level,
        verdict=found.verdict.replace("_", " "),
    )


def _bundle(record: RunRecord, now: Circumstances) -> s.Bundle:
    digests = dict(record.bundle.files)
    if now.bundle:  # its description is a file, too, and cannot hold its own digest
        digests[BUNDLE_FILE] = hash_file(now.bundle / BUNDLE_FILE)
    sizes = {name: (now.bundle / name).stat().st_size for name in digests} if now.bundle else {}
    return s.Bundle(
        size_bytes=sum(sizes.values()),
        files=tuple(
            s.FileRecord(name=name, size_bytes=sizes.get(name, 0), sha256=digest) for name, digest in digests.items()
        ),
        parity=s.Parity(rows=record.parity.rows, max_abs=record.parity.max_abs, flipped=record.parity.flipped),
        latency_p50_ms=record.evaluation.latency_p50_ms,
        latency_p99_ms=record.evaluation.latency_p99_ms,
        onnx_opset=record.bundle.opset,
    )
