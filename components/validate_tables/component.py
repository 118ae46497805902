"""Derive the clean tables and let nothing through that breaks a critical expectation."""

from kfp import dsl

from components.images import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def validate_tables(
    dataset: str,
    raw: dict,
    as_of: str,
    code_version: str,
    report: dsl.Output[dsl.Artifact],
    docs: dsl.Output[dsl.Artifact],
    overview: dsl.Output[dsl.HTML],
) -> dict:
    """Write `<dataset>/clean/<table>`; returns table → version.

    Args:
        dataset: a dataset spec, JSON.
        raw: table → version.
        as_of: ISO 8601 instant; nothing that happened later is seen.
        code_version: what derives the columns.
        report: result of every rule, JSON.
        docs: the data docs, a folder with index.html.
        overview: what held and what did not, on one page.
    """
    from datetime import datetime
    from pathlib import Path

    from fairlead.adapters.delta import DeltaTables
    from fairlead.adapters.great_expectations import validate
    from fairlead.adapters.great_expectations_docs import overview_page
    from fairlead.adapters.result_files import ResultFiles
    from fairlead.features.definitions import load_module
    from fairlead.lineage.steps import begin_step, whole_numbers
    from fairlead.spec import DatasetSpec
    from fairlead.tables.clean import as_frames, write_clean
    from fairlead.tables.prepare import prepare
    from fairlead.tables.quality import gate_result, log_passed, refuse_if_critical

    settings = begin_step()
    spec, moment = DatasetSpec.model_validate_json(dataset), datetime.fromisoformat(as_of)
    store = DeltaTables(settings.tables_uri)
    raw = whole_numbers(raw)
    tables = prepare(spec, raw, store, load_module(settings.repo, spec.name, "tables"), moment)
    result = validate(spec, as_frames(tables), as_of=moment, docs=Path(docs.path))
    Path(report.path).write_text(result.model_dump_json(indent=2), encoding="utf-8")
    Path(overview.path).write_text(overview_page(result), encoding="utf-8")
    ResultFiles(settings.tables_uri).write(gate_result(result))
    refuse_if_critical(result)
    log_passed(result)
    return write_clean(spec, tables, raw, store, as_of=as_of, code_version=code_version)
