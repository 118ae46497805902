"""From a table to its predictions.

1. Score: features are looked up as they were known when each row was asked about; all rows are appended in one commit.

All versions are parameters, so that a run says what it scored, and a repeated one finds that it is done.
"""

from kfp import dsl

from components.score_batch.component import score_batch as score_rows
from pipelines.steps import configure


@dsl.pipeline(name="score-batch", description="From a table to its predictions.")
def score_batch(
    dataset: str,
    model: str,
    version: str,
    bundle: str,
    source: str,
    source_version: str,
    source_digest: str,
    start: str,
    end: str,
    asked_at: str,
    features: dict,
    output: str,
    keep: list,
    code_version: str,
) -> dict:
    """Returns where the predictions are, in which version, and how many.

    Args:
        dataset: a dataset spec, JSON.
        model: a model spec, JSON.
        version: of the model.
        bundle: digest that its bundle must have.
        source: a table's name, or the path of a Delta table or of Parquet files.
        source_version: of a Delta table; empty for Parquet.
        source_digest: what the source must be.
        start: ISO 8601 instant from which rows are asked about; empty for all rows.
        end: ISO 8601 instant before which they are.
        asked_at: ISO 8601 instant for rows that do not say theirs; empty for the time of the scoring.
        features: feature table → version.
        output: a table's name, or a path.
        keep: columns that the predictions repeat.
        code_version: name of the code.
    """
    score = score_rows(
        dataset=dataset,
        model=model,
        version=version,
        bundle=bundle,
        source=source,
        source_version=source_version,
        source_digest=source_digest,
        start=start,
        end=end,
        asked_at=asked_at,
        features=features,
        output=output,
        keep=keep,
        code_version=code_version,
    )
    configure(score, "Score rows")
    return score.output
