"""Register the model with everything that made it; an accepted one becomes the challenger."""

from kfp import dsl

from components.images import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def register_model(
    dataset: str,
    model: str,
    sources: dict,
    as_of: str,
    code_version: str,
    champion: str,
    clean: dict,
    features: dict,
    tables: dsl.Input[dsl.Artifact],
    quality: dsl.Input[dsl.Artifact],
    training_set: dsl.Input[dsl.Dataset],
    fitted: dsl.Input[dsl.Model],
    bundle: dsl.Input[dsl.Model],
    parity: dsl.Input[dsl.Artifact],
    evaluation: dsl.Input[dsl.Artifact],
) -> str:
    """Write the bundle to its released place; returns the version.

    Args:
        dataset: a dataset spec, JSON.
        model: a model spec, JSON.
        sources: table → SHA-256 of its source.
        as_of: ISO 8601 instant of the run.
        code_version: name of the code.
        champion: the version it was compared with; empty if there is none.
        clean: table → version.
        features: feature table → version.
        tables: provenance of the raw tables.
        quality: result of every rule.
        training_set: rows by period.
        fitted: the record of the training.
        bundle: the packaged model.
        parity: how near it is to the fitted one.
        evaluation: what was measured and what the gates say.
    """
    from pathlib import Path

    from fairlead.adapters.bundles import open_bundles
    from fairlead.adapters.mlflow import MlflowRegistry
    from fairlead.lineage.collect import Artifacts, collect
    from fairlead.lineage.record import Plan
    from fairlead.lineage.steps import begin_step, whole_numbers
    from fairlead.report.build import run_plots
    from fairlead.spec import DatasetSpec, ModelSpec

    settings = begin_step()
    artifacts = Artifacts(
        tables=Path(tables.path),
        quality=Path(quality.path),
        training_set=Path(training_set.path),
        fitted=Path(fitted.path),
        bundle=Path(bundle.path),
        parity=Path(parity.path),
        evaluation=Path(evaluation.path),
    )
    specs = DatasetSpec.model_validate_json(dataset), ModelSpec.model_validate_json(model)
    plan = Plan(
        dataset=specs[0], model=specs[1], sources=sources, as_of=as_of, code_version=code_version, champion=champion
    )
    record = collect(plan, whole_numbers(clean), whole_numbers(features), artifacts, settings.repo)
    registered = MlflowRegistry(settings).register(record, artifacts.bundle, run_plots(record))
    open_bundles(settings.bundles_uri).release(artifacts.bundle, registered.model, registered.version)
    return registered.version
