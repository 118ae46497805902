"""The HTTPRoute of a model."""

from fairlead.render.manifests.objects import MODEL, Object, thing


def http_route(model: str) -> Object:
    """What all environments share: the rules come from the release, the Gateway and the host from the environment."""
    return thing("gateway.networking.k8s.io/v1", "HTTPRoute", model, labels={MODEL: model}, spec={"rules": []})
