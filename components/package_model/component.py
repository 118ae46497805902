"""Export to ONNX, compare with the fitted model on every test row, try it in a fresh process."""

from kfp import dsl

from components.images import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def package_model(
    model: str,
    clean: dict,
    features: dict,
    as_of: str,
    code_version: str,
    training_set: dsl.Input[dsl.Dataset],
    fitted: dsl.Input[dsl.Model],
    bundle: dsl.Output[dsl.Model],
    parity: dsl.Output[dsl.Artifact],
) -> None:
    """Write `bundle`, the folder that serving reads, and `parity`, how near it is to the fitted model.

    Args:
        model: a model spec, JSON.
        clean: table → version that the model was made from.
        features: feature table → version.
        as_of: ISO 8601 instant of the run.
        code_version: what packages it.
        training_set: rows by period.
        fitted: the native model.
        bundle: a folder with model.onnx and bundle.json.
        parity: JSON.
    """
    from pathlib import Path

    from fairlead.features.training_set import TrainingSet
    from fairlead.lineage.code import lock_hash
    from fairlead.lineage.steps import begin_step, whole_numbers
    from fairlead.packaging.package import Origin, package
    from fairlead.spec import ModelSpec
    from fairlead.training.fit import load_fitted, load_record

    settings = begin_step()
    spec = ModelSpec.model_validate_json(model)
    tables = whole_numbers({f"{spec.dataset}/clean/{name}": version for name, version in clean.items()} | features)
    origin = Origin(as_of=as_of, tables=tables, code_version=code_version, lock=lock_hash(settings.repo))
    native, record = load_fitted(Path(fitted.path)), load_record(Path(fitted.path))
    rows = TrainingSet.load(Path(training_set.path))
    result = package(spec, native, record, rows, origin, Path(bundle.path))
    Path(parity.path).write_text(result.model_dump_json(indent=2), encoding="utf-8")
