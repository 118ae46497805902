"""Compute the feature tables and register their views."""

from kfp import dsl

from components.images import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def build_features(dataset: str, clean: dict, code_version: str) -> dict:
    """Write `<dataset>/features/<table>`; returns that name → version.

    Args:
        dataset: a dataset spec, JSON.
        clean: table → version.
        code_version: what computes them.
    """
    from fairlead.adapters.delta import DeltaTables
    from fairlead.features import build
    from fairlead.features.definitions import load_module
    from fairlead.lineage.steps import begin_step, whole_numbers
    from fairlead.spec import DatasetSpec

    settings = begin_step()
    name = DatasetSpec.model_validate_json(dataset).name
    module = load_module(settings.repo, name, "features")
    return build.build_features(name, whole_numbers(clean), DeltaTables(settings.tables_uri), module, code_version)
