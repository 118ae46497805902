"""Read every source of a dataset into versioned raw tables."""

from kfp import dsl

from components.images import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def ingest_tables(dataset: str, sources: dict, code_version: str, report: dsl.Output[dsl.Artifact]) -> dict:
    """Write `<dataset>/raw/<table>`; returns table → version.

    Args:
        dataset: a dataset spec, JSON.
        sources: table → SHA-256 that its source must have; here because a cache looks at parameters, not at sources.
        code_version: what reads them.
        report: the provenance of each table, JSON.
    """
    from pathlib import Path

    from pydantic import TypeAdapter

    from fairlead.adapters.delta import DeltaTables
    from fairlead.lineage.steps import begin_step
    from fairlead.spec import DatasetSpec
    from fairlead.tables.ingest import IngestedTable, ingest

    settings = begin_step()
    spec = DatasetSpec.model_validate_json(dataset)
    tables = ingest(spec, DeltaTables(settings.tables_uri), expected=sources, code_version=code_version)
    Path(report.path).write_bytes(TypeAdapter(list[IngestedTable]).dump_json(tables, indent=2))
    return {table.name: table.version for table in tables}
