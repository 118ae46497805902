"""What the gates say, for people."""

from fairlead.evaluation.evaluate import EvaluationRecord
from fairlead.spec import ModelSpec


def verdict_page(model: ModelSpec, result: EvaluationRecord) -> str:
    """A page of Markdown: whether the model is accepted, each gate, and the metrics with their intervals."""
    verdict = "accepted" if result.accepted else "refused"
    gates = [f"| {'✓' if gate.passed else '✗'} | {_cell(gate.rule)} | {_cell(gate.reason)} |" for gate in result.gates]
    metrics = [
        f"| {name} | {interval.value:.4f} | {interval.low:.4f} to {interval.high:.4f} |"
        for name, interval in result.metrics.items()
    ]
    return "\n".join(
        [
            f"# {model.name}: {verdict}",
            "",
            f"Measured on {result.rows:,} rows of the test period, against "
            + (f"version {result.champion}." if result.champion else "no champion."),
            "",
            "| | gate | why |",
            "| --- | --- | --- |",
            *gates,
            "",
            "| metric | value | 95% interval |",
            "| --- | --- | --- |",
            *metrics,
            "",
        ]
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
