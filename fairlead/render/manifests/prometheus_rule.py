"""A PrometheusRule: alerts for a Prometheus of the operator."""

from fairlead.render.alerts import Context, Scope, environment_groups, model_groups
from fairlead.render.manifests.objects import MODEL, Object, thing
from fairlead.spec import ModelSpec
from fairlead.spec.environment import EnvironmentSpec

COMMON = "fairlead-environment"


def of_model(model: ModelSpec, environment: EnvironmentSpec, runbooks: str) -> Object:
    """What is watched of one model in one environment."""
    labels, groups = {MODEL: model.name}, model_groups(_context(environment, runbooks), model)
    return thing(
        "monitoring.coreos.com/v1", "PrometheusRule", f"fairlead-{model.name}", labels=labels, spec={"groups": groups}
    )


def of_environment(environment: EnvironmentSpec, runbooks: str) -> Object:
    """What is watched whatever the models are."""
    groups = environment_groups(_context(environment, runbooks))
    namespace = environment.namespace
    return thing("monitoring.coreos.com/v1", "PrometheusRule", COMMON, namespace=namespace, spec={"groups": groups})


def _context(environment: EnvironmentSpec, runbooks: str) -> Context:
    scope = Scope(environment.name, environment.namespace)
    return Context(runbooks, scope, controlled=environment.releases is not None)
