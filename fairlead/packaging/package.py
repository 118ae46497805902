"""From a fitted model to a bundle that has been tried in a fresh process."""

import logging
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from fairlead.drift.reference import write_reference
from fairlead.errors import BundleError
from fairlead.features.training_set import ASKED_AT, TrainingSet
from fairlead.lineage.digest import hash_file, hash_json
from fairlead.packaging.bundle import MODEL_FILE, REFERENCE_FILE, Bundle, write_bundle
from fairlead.packaging.export import export, opset
from fairlead.packaging.parity import Parity, measure_parity
from fairlead.packaging.session import ScoringSession
from fairlead.packaging.signature import Matrix, Signature
from fairlead.spec import ModelSpec
from fairlead.training.candidates import Fitted
from fairlead.training.fit import TrainingRecord, as_columns

log = logging.getLogger(__name__)

SAMPLE_ROWS = 64
SMOKE_SCRIPT = Path(__file__).with_name("smoke.py")


class Origin(BaseModel):
    """What a bundle was made from."""

    model_config = ConfigDict(frozen=True)

    as_of: str
    tables: dict[str, int]
    code_version: str
    lock: str


def package(
    model: ModelSpec, fitted: Fitted, record: TrainingRecord, training_set: TrainingSet, origin: Origin, folder: Path
) -> Parity:
    """Write the bundle, compare it with the fitted model on every test row, and run it in a fresh process.

    Raises:
        BundleError: the graph does not load or does not answer with onnxruntime alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = export(fitted)
    (folder / MODEL_FILE).write_bytes(content)
    bundle = Bundle(
        model=model.name,
        description=model.description,
        task=model.task,
        candidate=record.candidate,
        signature=record.signature,
        threshold=record.threshold,
        feature_service=model.features,
        lookup=training_set.lookup,
        serving=model.serving,
        dataset=model.dataset,
        spec_digest=hash_json(model.model_dump(mode="json")),
        opset=opset(content),
        files={MODEL_FILE: hash_file(folder / MODEL_FILE)},
        **origin.model_dump(),
    )
    write_bundle(bundle, folder)
    _keep_reference(model, record.signature, training_set, ScoringSession.open(folder), folder)
    write_bundle(
        bundle.model_copy(update={"files": {name: hash_file(folder / name) for name in (MODEL_FILE, REFERENCE_FILE)}}),
        folder,
    )
    matrix = record.signature.matrix(as_columns(training_set.part("test"), record.signature))
    session = ScoringSession.open(folder)
    _smoke(folder, matrix[:SAMPLE_ROWS], session)
    parity = measure_parity(fitted.scores, session.scores, matrix, record.signature, record.threshold)
    log.info("ONNX, %s kB, |Δ| ≤ %.1e on %s rows", f"{len(content) // 1024:,}", parity.max_abs, f"{parity.rows:,}")
    return parity


def _keep_reference(
    model: ModelSpec, signature: Signature, training_set: TrainingSet, session: ScoringSession, folder: Path
) -> None:
    """Rows of all three periods. Scores of those it was fitted to are a little too sure: see decision 26."""
    rows = training_set.rows
    entity = training_set.entities if model.drift.entity is None else model.drift.entity
    unknown = [name for name in entity if name not in rows]
    if unknown:
        raise BundleError(f"drift.entity must be request columns or keys of {model.name}, but {unknown[0]!r} is none")
    matrix = signature.matrix(as_columns(rows, signature))
    entities = np.empty(len(rows), dtype=object)
    entities[:] = list(rows[entity].astype(str).itertuples(index=False, name=None)) if entity else range(len(rows))
    write_reference(
        folder,
        signature,
        at=rows[ASKED_AT].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(),
        entities=entities,
        matrix=matrix,
        scores=session.scores(matrix),
    )


def _smoke(folder: Path, matrix: Matrix, session: ScoringSession) -> None:
    scores = session.scores(matrix)
    with tempfile.TemporaryDirectory() as aside:
        sample = Path(aside) / "sample.npz"
        np.savez(sample, features=matrix, probabilities=np.stack([1 - scores, scores], axis=1))
        # -I: no environment, no user site, no working directory: only what is installed beside Python.
        command = [sys.executable, "-I", str(SMOKE_SCRIPT), str(folder), str(sample)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BundleError(f"the bundle fails in a fresh process: {done.stderr.strip()[-2000:]}")
