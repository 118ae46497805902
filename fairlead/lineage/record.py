"""The record of a run: everything that made a model version, in one JSON document."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from fairlead.evaluation.evaluate import EvaluationRecord
from fairlead.features.statistics import ColumnStatistics, PeriodRows
from fairlead.packaging.bundle import Bundle
from fairlead.packaging.parity import Parity
from fairlead.spec import DatasetSpec, ModelSpec
from fairlead.tables.ingest import IngestedTable
from fairlead.tables.quality import QualityReport
from fairlead.training.fit import TrainingRecord


class Plan(BaseModel):
    """The arguments of a run. The same plan gives the same model."""

    model_config = ConfigDict(frozen=True)

    dataset: DatasetSpec
    model: ModelSpec
    sources: dict[str, str]
    """Table → SHA-256 of its source."""
    as_of: str
    code_version: str
    champion: str
    """The version to beat; empty if there is none."""

    def arguments(self) -> dict[str, Any]:
        """As the pipeline takes them."""
        fixed = self.model_dump(mode="json", exclude={"dataset", "model"})
        return {"dataset": self.dataset.to_parameter(), "model": self.model.to_parameter(), **fixed}


class RunRecord(BaseModel):
    """Plan and results."""

    model_config = ConfigDict(frozen=True)

    plan: Plan
    git_commit: str
    lock: str
    fairlead_version: str
    tables: list[IngestedTable]
    quality: QualityReport
    versions: dict[str, int]
    """Clean and feature tables → version."""
    periods: list[PeriodRows]
    columns: list[ColumnStatistics]
    training: TrainingRecord
    parity: Parity
    evaluation: EvaluationRecord
    bundle: Bundle

    @property
    def spec(self) -> ModelSpec:
        """The model file as it was."""
        return self.plan.model

    @property
    def accepted(self) -> bool:
        """Every gate was passed."""
        return self.evaluation.accepted

    @property
    def refusals(self) -> list[str]:
        """Why gates refused; empty if accepted."""
        return [f"{gate.rule}: {gate.reason}" for gate in self.evaluation.gates if not gate.passed]
