"""From sources to a registered model that has passed its gates.

1. Ingest: every source becomes a versioned raw table.
2. Validate: clean tables are derived; a critical breach ends the run.
3. Features: feature tables are computed, each row with the time it became known.
4. Training set: labels are joined with what was known when they were asked for.
5. Train: candidates are tuned on windows in time; the best is fitted.
6. Package: the model becomes an ONNX bundle, compared with the fitted one and tried in a fresh process.
7. Evaluate: the bundle is measured on the test period, against baselines and the champion; gates are checked.
8. Register: an accepted model becomes the challenger; a refused one is registered with the reasons.

Versions of data and code are parameters of the steps: a cache compares parameters, and does not look behind a URI.
"""

from typing import NamedTuple

from kfp import dsl

from components.build_features.component import build_features
from components.build_training_set.component import build_training_set
from components.evaluate_model.component import evaluate_model
from components.ingest_tables.component import ingest_tables
from components.package_model.component import package_model
from components.register_model.component import register_model
from components.train_model.component import train_model
from components.validate_tables.component import validate_tables
from pipelines.steps import configure


class Released(NamedTuple):
    """What a run ends with."""

    version: str
    quality_docs: dsl.Artifact


@dsl.pipeline(name="train-and-release", description="From sources to a registered model that has passed its gates.")
def train_and_release(
    dataset: str, model: str, sources: dict, as_of: str, code_version: str, champion: str
) -> Released:
    """Returns the registered version, and the data docs of the tables it was made from.

    Args:
        dataset: a dataset spec, JSON.
        model: a model spec, JSON.
        sources: table → SHA-256 of its source.
        as_of: ISO 8601 instant; the run knows nothing later.
        code_version: name of the code.
        champion: the version to beat; empty if there is none.
    """
    ingest = ingest_tables(dataset=dataset, sources=sources, code_version=code_version)
    configure(ingest, "Ingest tables")

    validate = validate_tables(dataset=dataset, raw=ingest.outputs["Output"], as_of=as_of, code_version=code_version)
    configure(validate, "Validate tables")
    clean = validate.outputs["Output"]

    build = build_features(dataset=dataset, clean=clean, code_version=code_version)
    configure(build, "Build features")
    features = build.output

    join = build_training_set(
        dataset=dataset, model=model, clean=clean, features=features, as_of=as_of, code_version=code_version
    )
    configure(join, "Build training set")
    training_set = join.outputs["training_set"]

    train = train_model(dataset=dataset, model=model, code_version=code_version, training_set=training_set)
    configure(train, "Train model")
    fitted = train.outputs["fitted"]

    package = package_model(
        model=model,
        clean=clean,
        features=features,
        as_of=as_of,
        code_version=code_version,
        training_set=training_set,
        fitted=fitted,
    )
    configure(package, "Package model")
    bundle, parity = package.outputs["bundle"], package.outputs["parity"]

    evaluate = evaluate_model(
        model=model,
        champion=champion,
        code_version=code_version,
        training_set=training_set,
        fitted=fitted,
        bundle=bundle,
        parity=parity,
    )
    configure(evaluate, "Evaluate model")

    register = register_model(
        dataset=dataset,
        model=model,
        sources=sources,
        as_of=as_of,
        code_version=code_version,
        champion=champion,
        clean=clean,
        features=features,
        tables=ingest.outputs["report"],
        quality=validate.outputs["report"],
        training_set=training_set,
        fitted=fitted,
        bundle=bundle,
        parity=parity,
        evaluation=evaluate.outputs["evaluation"],
    )
    configure(register, "Register model")
    return Released(register.output, validate.outputs["docs"])
