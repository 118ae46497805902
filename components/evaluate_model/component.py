"""Measure the packaged model on the test period and check its gates."""

from kfp import dsl

from components.images import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def evaluate_model(
    model: str,
    champion: str,
    code_version: str,
    training_set: dsl.Input[dsl.Dataset],
    fitted: dsl.Input[dsl.Model],
    bundle: dsl.Input[dsl.Model],
    parity: dsl.Input[dsl.Artifact],
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    curve: dsl.Output[dsl.ClassificationMetrics],
    verdict: dsl.Output[dsl.Markdown],
) -> None:
    """Write `evaluation`, all that was measured and what the gates say; the others show it in the UI.

    Args:
        model: a model spec, JSON.
        champion: the version to beat; empty if there is none.
        code_version: what measures it.
        training_set: rows by period.
        fitted: the record of the training.
        bundle: the packaged model.
        parity: how near it is to the fitted one.
        evaluation: JSON.
        metrics: the headline.
        curve: the ROC curve, and the decisions at the threshold.
        verdict: each gate with its reason.
    """
    import json
    from pathlib import Path

    from fairlead.adapters.bundles import open_bundles
    from fairlead.evaluation.evaluate import evaluate
    from fairlead.evaluation.verdict import verdict_page
    from fairlead.features.training_set import TrainingSet
    from fairlead.lineage.steps import begin_step
    from fairlead.packaging.parity import Parity
    from fairlead.spec import ModelSpec
    from fairlead.training.fit import load_record

    settings = begin_step()
    spec = ModelSpec.model_validate_json(model)
    result = evaluate(
        spec,
        Path(bundle.path),
        load_record(Path(fitted.path)),
        Parity.model_validate_json(Path(parity.path).read_bytes()),
        TrainingSet.load(Path(training_set.path)),
        (champion, open_bundles(settings.bundles_uri).folder(spec.name, champion)) if champion else None,
    )
    Path(evaluation.path).write_text(result.model_dump_json(indent=2), encoding="utf-8")
    for name, interval in result.metrics.items():
        metrics.log_metric(name, interval.value)
    metrics.metadata["code_version"] = code_version
    roc, counts = result.roc, result.confusion
    # The first threshold is infinite, which JSON cannot say.
    curve.log_roc_curve(
        list(roc.false_positive_rate), list(roc.true_positive_rate), [min(item, 1.0) for item in roc.thresholds]
    )
    decisions = [[counts.true_negatives, counts.false_positives], [counts.false_negatives, counts.true_positives]]
    curve.log_confusion_matrix(["no", "yes"], decisions)
    Path(verdict.path).write_text(verdict_page(spec, result), encoding="utf-8")
    # KFP keeps metrics as metadata and writes no file, and its local cache takes a missing file for a missing result.
    for shown in (metrics, curve):
        Path(shown.path).write_text(json.dumps(shown.metadata), encoding="utf-8")
