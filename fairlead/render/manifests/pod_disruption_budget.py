"""The PodDisruptionBudget of one service of a model."""

from fairlead.render.manifests.objects import Object, endpoint_labels, thing
from fairlead.rollout.serve import Arm, service_name

WHY = """\
One pod at a time, also where there is one only: `minAvailable` would keep a node from ever being drained."""


def pod_disruption_budget(model: str, arm: Arm) -> Object:
    """How many pods of a service may be taken away at once."""
    labels = endpoint_labels(model, arm)
    return thing(
        "policy/v1",
        "PodDisruptionBudget",
        service_name(model, arm),
        labels=labels,
        spec={
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": labels},
        },
    )
