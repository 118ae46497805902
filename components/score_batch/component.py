"""Score a table and append the predictions to a table."""

from kfp import dsl

from components.images import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
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
    """Append the scores of every row in one commit; returns where they are, and how many.

    Args:
        dataset: a dataset spec, JSON.
        model: a model spec, JSON.
        version: of the model.
        bundle: digest that its bundle must have.
        source: a table's name, or the path of a Delta table or of Parquet files.
        source_version: of a Delta table; empty for Parquet.
        source_digest: what the source must be: a path may hold other rows by now.
        start: ISO 8601 instant from which rows are asked about; empty for all rows.
        end: ISO 8601 instant before which they are.
        asked_at: ISO 8601 instant for rows that do not say theirs; empty for the time of the scoring.
        features: feature table → version.
        output: a table's name, or a path.
        keep: columns that the predictions repeat.
        code_version: what scores them.
    """
    from fairlead.lineage.steps import begin_step, whole_numbers
    from fairlead.scoring.plan import BatchPlan
    from fairlead.scoring.request import log_progress, run_plan
    from fairlead.spec import DatasetSpec, ModelSpec

    settings = begin_step()
    plan = BatchPlan(
        dataset=DatasetSpec.model_validate_json(dataset),
        model=ModelSpec.model_validate_json(model),
        version=version,
        bundle=bundle,
        source=source,
        source_version=int(source_version) if source_version else None,
        source_digest=source_digest,
        start=start,
        end=end,
        asked_at=asked_at,
        features=whole_numbers(features),
        output=output,
        keep=tuple(keep),
        code_version=code_version,
    )
    return run_plan(plan, settings, log_progress).model_dump(mode="json")
