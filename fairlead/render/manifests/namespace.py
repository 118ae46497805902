"""The Namespace of an environment."""

from fairlead.render.manifests.objects import Object, thing

PROFILE = "restricted"


def namespace(name: str) -> Object:
    """A pod that breaks the restricted profile of Pod Security is refused."""
    modes = ("enforce", "audit", "warn")
    return thing("v1", "Namespace", name, labels={f"pod-security.kubernetes.io/{mode}": PROFILE for mode in modes})
