"""From the artifacts of a run to its record."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter

from fairlead import __version__
from fairlead.evaluation.evaluate import EvaluationRecord
from fairlead.features.statistics import describe_columns, describe_periods
from fairlead.features.training_set import TrainingSet
from fairlead.lineage.code import git_commit, lock_hash
from fairlead.lineage.record import Plan, RunRecord
from fairlead.packaging.bundle import load_bundle
from fairlead.packaging.parity import Parity
from fairlead.tables.ingest import IngestedTable
from fairlead.tables.quality import QualityReport
from fairlead.training.fit import load_record
from fairlead.training.splits import Periods


@dataclass(frozen=True)
class Artifacts:
    """Where the steps of a run left what they made."""

    tables: Path
    quality: Path
    training_set: Path
    fitted: Path
    bundle: Path
    parity: Path
    evaluation: Path


def collect(
    plan: Plan, clean: Mapping[str, int], features: Mapping[str, int], artifacts: Artifacts, repo: Path
) -> RunRecord:
    """Read a run's artifacts into one record."""
    model, dataset = plan.model, plan.dataset
    training = load_record(artifacts.fitted)
    rows = TrainingSet.load(artifacts.training_set)
    periods = Periods.before(datetime.fromisoformat(plan.as_of), model.split, dataset.timezone)
    return RunRecord(
        plan=plan,
        git_commit=git_commit(repo),
        lock=lock_hash(repo),
        fairlead_version=__version__,
        tables=TypeAdapter(list[IngestedTable]).validate_json(artifacts.tables.read_bytes()),
        quality=QualityReport.model_validate_json(artifacts.quality.read_bytes()),
        versions={f"{dataset.name}/clean/{name}": version for name, version in clean.items()} | dict(features),
        periods=describe_periods(rows, periods),
        columns=describe_columns(rows, training.signature),
        training=training,
        parity=Parity.model_validate_json(artifacts.parity.read_bytes()),
        evaluation=EvaluationRecord.model_validate_json(artifacts.evaluation.read_bytes()),
        bundle=load_bundle(artifacts.bundle),
    )
