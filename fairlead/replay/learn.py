"""Training as of a day, by the pipeline's own code: fit, package, try, measure against the champion, pass the gates."""

import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from fairlead.evaluation.evaluate import evaluate
from fairlead.files import write_whole
from fairlead.lineage.digest import hash_json
from fairlead.packaging.package import Origin, package
from fairlead.packaging.parity import Parity
from fairlead.replay.year import Year
from fairlead.spec import DatasetSpec, ModelSpec
from fairlead.spec.model import Choice, TuningSpec
from fairlead.training.fit import TrainingRecord, train

FIXED = {
    "n_estimators": 60,
    "num_leaves": 15,
    "learning_rate": 0.12,
    "min_child_samples": 100,
    "feature_fraction": 0.5,
}
"""One setting in place of a search, so that a year takes minutes; a search gains some thousandths of ROC AUC."""
RECORD_FILE, PARITY_FILE = "training.json", "parity.json"


class Trained(BaseModel):
    """A version of the replay."""

    model_config = ConfigDict(frozen=True)

    version: str
    """The day as of which it was trained."""
    as_of: datetime
    folder: Path
    accepted: bool
    reasons: tuple[str, ...]
    test_roc_auc: float


@dataclass(frozen=True)
class Trainer:
    """Trains one model on one year; what was trained before is found again."""

    year: Year
    model: ModelSpec
    dataset: DatasetSpec
    folder: Path
    made_from: str
    """Names the rows and the code."""

    @property
    def _learnt_from(self) -> str:
        """Names all that a training depends on: not how the model is watched, braked or released."""
        spec = self.model.model_dump(mode="json", exclude={"performance", "retraining", "rollout"})
        return hash_json({"from": self.made_from, "spec": spec, "dataset": self.dataset.model_dump(mode="json")})

    def train(self, as_of: datetime, champion: Trained | None) -> Trained:
        """Train as of an instant, and judge the result against the champion on the test period."""
        version = as_of.date().isoformat()
        key = self._learnt_from[:16]
        bundle = self.folder / "bundles" / f"{version}-{key}"
        if not bundle.exists():
            self._package(as_of, bundle)
        verdict = self.folder / "verdicts" / f"{version}-{key}-{champion.version if champion else 'first'}.json"
        if not verdict.exists():
            result = self._judge(version, as_of, bundle, champion)
            write_whole(verdict, result.model_dump_json())
        return Trained.model_validate_json(verdict.read_bytes()).model_copy(update={"folder": bundle})

    def _package(self, as_of: datetime, bundle: Path) -> None:
        training_set = self.year.training_set(as_of, self.model.split)
        fitted, record = train(self.model, self.dataset, training_set)
        aside = bundle.with_name(f".{bundle.name}.{os.getpid()}")
        shutil.rmtree(aside, ignore_errors=True)
        origin = Origin(as_of=as_of.isoformat(), tables={}, code_version=self.made_from[:16], lock="")
        parity = package(self.model, fitted, record, training_set, origin, aside)
        (aside / RECORD_FILE).write_text(record.model_dump_json(), encoding="utf-8")
        (aside / PARITY_FILE).write_text(parity.model_dump_json(), encoding="utf-8")
        try:
            aside.rename(bundle)
        except OSError:
            if not bundle.exists():
                raise
            shutil.rmtree(aside)  # another policy was faster, with the same bytes

    def _judge(self, version: str, as_of: datetime, bundle: Path, champion: Trained | None) -> Trained:
        result = evaluate(
            self.model,
            bundle,
            TrainingRecord.model_validate_json((bundle / RECORD_FILE).read_bytes()),
            Parity.model_validate_json((bundle / PARITY_FILE).read_bytes()),
            self.year.training_set(as_of, self.model.split),
            (champion.version, champion.folder) if champion else None,
        )
        refusals = tuple(f"{gate.rule}: {gate.reason}" for gate in result.gates if not gate.passed)
        return Trained(
            version=version,
            as_of=as_of,
            folder=bundle,
            accepted=result.accepted,
            reasons=refusals,
            test_roc_auc=result.metrics["roc_auc"].value,
        )


def without_search(model: ModelSpec) -> ModelSpec:
    """The same model with one fixed setting in place of a search."""
    space = {name: Choice(choice=[value]) for name, value in FIXED.items()}
    tuning = TuningSpec(
        sampler="grid",
        trials=1,
        folds=1,
        optimise=model.tuning.optimise,
        seed=model.tuning.seed,
        candidates={"lightgbm": space},
    )
    return model.model_copy(update={"tuning": tuning})
