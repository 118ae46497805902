"""The Namespace of an environment."""

from fairlead.render.manifests.objects import Object, thing

PROFILE = "restricted"


def namespace(name: str) -> Object:
    """Pods that break the restricted profile of Pod Security are refused; the Gateway knows our label."""
    modes = ("enforce", "audit", "warn")
    profiles = {f"pod-security.kubernetes.io/{mode}": PROFILE for mode in modes}
    return thing("v1", "Namespace", name, labels={"app.kubernetes.io/part-of": "fairlead", **profiles})
