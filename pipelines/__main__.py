"""`python -m pipelines FOLDER`: compile every pipeline into a folder."""

import sys
from pathlib import Path

from kfp import compiler

from pipelines.refresh_features.pipeline import refresh_features
from pipelines.retrain_model.pipeline import retrain_model
from pipelines.score_batch.pipeline import score_batch
from pipelines.train_and_release.pipeline import train_and_release

PIPELINES = {
    "refresh_features": refresh_features,
    "retrain_model": retrain_model,
    "score_batch": score_batch,
    "train_and_release": train_and_release,
}


def main(folder: str) -> None:
    """Write `<name>.yaml` for each."""
    for name, pipeline in PIPELINES.items():
        compiler.Compiler().compile(pipeline, str(Path(folder, f"{name}.yaml")))


if __name__ == "__main__":
    main(sys.argv[1])
