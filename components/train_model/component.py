"""Tune, choose a threshold, fit."""

from kfp import dsl

from components.images import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def train_model(
    dataset: str,
    model: str,
    code_version: str,
    training_set: dsl.Input[dsl.Dataset],
    fitted: dsl.Output[dsl.Model],
) -> None:
    """Write `fitted`, the native model with the record of its training.

    Args:
        dataset: a dataset spec, JSON.
        model: a model spec, JSON.
        code_version: what trains it.
        training_set: rows by period; the test period is not touched.
        fitted: a folder.
    """
    from pathlib import Path

    from fairlead.features.training_set import TrainingSet
    from fairlead.lineage.steps import begin_step
    from fairlead.spec import DatasetSpec, ModelSpec
    from fairlead.training.fit import save_fitted, train

    begin_step()
    specs = ModelSpec.model_validate_json(model), DatasetSpec.model_validate_json(dataset)
    native, record = train(*specs, TrainingSet.load(Path(training_set.path)))
    save_fitted(native, record, Path(fitted.path))
    fitted.metadata["code_version"] = code_version
