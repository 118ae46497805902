"""Rules of a Prometheus that has one environment to itself: on one machine, or where tests run."""

from collections.abc import Mapping
from pathlib import Path

from fairlead.render.alerts import Context, environment_groups, model_groups
from fairlead.render.documents import text_of
from fairlead.spec import ModelSpec

RULES = Path("monitoring/rules")
ENVIRONMENT_RULES = RULES / "environment.yaml"
WHY = "For `rule_files` of prometheus.yml. The same rules for a cluster: prometheus-rule.yaml in manifests/envs/."


def rule_files(context: Context, models: Mapping[str, ModelSpec]) -> dict[Path, str]:
    """Path from the root of the repository → content: one file a model, and one on what they share."""
    files = {ENVIRONMENT_RULES: text_of({"groups": environment_groups(context)}, "fairlead/render/alerts", WHY)}
    for name, model in models.items():
        path = RULES / "models" / f"{name}.yaml"
        files[path] = text_of({"groups": model_groups(context, model)}, f"pipelines/models/{name}.yaml", WHY)
    return files
