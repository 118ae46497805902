"""From sources to feature tables that are up to date.

1. Ingest: every source becomes a versioned raw table.
2. Validate: clean tables are derived; a critical breach ends the run.
3. Features: feature tables are computed, each row with the time it became known.
"""

from typing import NamedTuple

from kfp import dsl

from components.build_features.component import build_features
from components.ingest_tables.component import ingest_tables
from components.validate_tables.component import validate_tables
from pipelines.steps import configure


class Versions(NamedTuple):
    """Table → version."""

    clean: dict
    features: dict


@dsl.pipeline(name="refresh-features", description="From sources to feature tables that are up to date.")
def refresh_features(dataset: str, sources: dict, as_of: str, code_version: str) -> Versions:
    """Returns the versions of the clean and the feature tables.

    Args:
        dataset: a dataset spec, JSON.
        sources: table → SHA-256 of its source.
        as_of: ISO 8601 instant; the run knows nothing later.
        code_version: name of the code.
    """
    ingest = ingest_tables(dataset=dataset, sources=sources, code_version=code_version)
    configure(ingest, "Ingest tables")

    validate = validate_tables(dataset=dataset, raw=ingest.outputs["Output"], as_of=as_of, code_version=code_version)
    configure(validate, "Validate tables")

    build = build_features(dataset=dataset, clean=validate.outputs["Output"], code_version=code_version)
    configure(build, "Build features")
    return Versions(validate.outputs["Output"], build.output)
