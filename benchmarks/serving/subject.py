"""What is served: a gradient boosting of 200 trees over 30 numbers, as a bundle, and rows to ask it about."""

from pathlib import Path

import numpy as np

from fairlead.lineage.digest import hash_file
from fairlead.packaging.bundle import MODEL_FILE, Bundle, write_bundle
from fairlead.packaging.export import export, opset
from fairlead.packaging.session import ScoringSession
from fairlead.packaging.signature import Input, Matrix, Signature
from fairlead.training.candidates import CANDIDATES

TREES = 200
FEATURES = 30
TRAINING_ROWS = 20_000
SEED = 13
MODEL = "bench"
VECTOR_MODEL = f"{MODEL}-vector"
"""The name under which our server takes a finished matrix; the peers take it over."""

SIGNATURE = Signature(
    inputs=[Input(name=f"f{index}", source="request", kind="number") for index in range(FEATURES)], entities=[]
)


def make_bundle(folder: Path) -> ScoringSession:
    """Fit, export and package the model as a pipeline would, and open it."""
    folder.mkdir(parents=True)
    rows = draw_rows(TRAINING_ROWS)
    labels = (rows[:, 0] * rows[:, 1] + np.sin(rows[:, 2] * 3) + rows[:, 3:8].sum(axis=1) > 0).astype(np.int64)
    params = {"n_estimators": TREES, "num_threads": 1}  # threads that wait for each other crawl on a busy machine
    fitted = CANDIDATES["lightgbm"].fit(rows, labels, SIGNATURE, params, SEED)
    content = export(fitted)
    (folder / MODEL_FILE).write_bytes(content)
    write_bundle(_describe(folder, opset(content)), folder)
    return ScoringSession.open(folder)


def draw_rows(count: int, seed: int = SEED) -> Matrix:
    """Random rows, shape [count, 30]; the same seed gives the same."""
    return np.random.default_rng(seed).standard_normal((count, FEATURES), dtype=np.float32)


def _describe(folder: Path, opset_version: int) -> Bundle:
    return Bundle(
        model=MODEL,
        description="A model to measure servers with.",
        task="binary",
        candidate="lightgbm",
        signature=SIGNATURE,
        threshold=0.5,
        feature_service="none",
        dataset="none",
        as_of="2026-01-01T00:00:00Z",
        tables={},
        code_version="benchmark",
        lock="benchmark",
        spec_digest="benchmark",
        opset=opset_version,
        files={MODEL_FILE: hash_file(folder / MODEL_FILE)},
    )
