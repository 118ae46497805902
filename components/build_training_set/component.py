"""Join labels with the features that were known at the time of asking."""

from kfp import dsl

from components.images import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def build_training_set(
    dataset: str,
    model: str,
    clean: dict,
    features: dict,
    as_of: str,
    code_version: str,
    training_set: dsl.Output[dsl.Dataset],
) -> None:
    """Write `training_set`, a folder of Parquet with the periods train, validation and test.

    Args:
        dataset: a dataset spec, JSON.
        model: a model spec, JSON.
        clean: table → version.
        features: feature table → version.
        as_of: ISO 8601 instant; the test period ends there.
        code_version: what joins them.
        training_set: the rows.
    """
    from datetime import datetime
    from pathlib import Path

    from fairlead.adapters.delta import DeltaTables
    from fairlead.adapters.feast import FeastFeatures
    from fairlead.features import training_set as logic
    from fairlead.lineage.steps import begin_step, whole_numbers
    from fairlead.spec import DatasetSpec, ModelSpec

    settings = begin_step()
    data_spec, model_spec = DatasetSpec.model_validate_json(dataset), ModelSpec.model_validate_json(model)
    store = FeastFeatures(settings, data_spec.name)
    store.apply()
    rows = logic.build_training_set(
        model_spec,
        data_spec,
        whole_numbers(clean),
        whole_numbers(features),
        DeltaTables(settings.tables_uri),
        store,
        datetime.fromisoformat(as_of),
    )
    rows.save(Path(training_set.path))
    training_set.metadata["code_version"] = code_version
