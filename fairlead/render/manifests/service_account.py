"""The ServiceAccount of a kind of pods."""

from fairlead.render.manifests.objects import Object, thing


def service_account(name: str) -> Object:
    """An account without a token: none of our pods asks the API server anything."""
    return thing("v1", "ServiceAccount", name, automountServiceAccountToken=False)
