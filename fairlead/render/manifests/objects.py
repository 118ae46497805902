"""What all objects share: their form, their labels, their security and their text."""

from collections.abc import Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString

Object = dict[str, Any]
"""One object of Kubernetes."""

MARK = "# Rendered by `fairlead render` from "
"""How a rendered file begins."""
MODEL, ARM, VERSION = "fairlead.dev/model", "fairlead.dev/arm", "fairlead.dev/version"
"""Labels of an endpoint's objects and pods, and the annotation that says which version was asked for."""
SERVING_ACCOUNT = "fairlead-serving"
ENVIRONMENT_CONFIG = "fairlead-environment"
STORAGE_SECRET, ONLINE_STORE_SECRET, RECORDS_SECRET = "fairlead-storage", "fairlead-online-store", "fairlead-records"
SERVING_IMAGE = "fairlead/serving"
"""As manifests name it; each environment puts its own image in its place."""
HTTP_CONTAINER_PORT, GRPC_CONTAINER_PORT = 8080, 8081

RESTRICTED: Object = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""Of a container: what the restricted Pod Security profile asks for, and a root file system that stays as it is."""


def thing(api: str, kind: str, name: str, **more: Any) -> Object:
    """An object's head and what follows it; `labels` and `annotations` become metadata.

    Args:
        api: group and version.
        kind: its kind.
        name: its name.
        more: the object's other keys.
    """
    metadata: Object = {"name": name}
    for key in ("namespace", "labels", "annotations"):
        if key in more:
            metadata[key] = more.pop(key)
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **more}


def endpoint_labels(model: str, arm: str) -> dict[str, str]:
    """Of all that belongs to one service of a model."""
    return {MODEL: model, ARM: arm}


def literal(value: Object) -> LiteralScalarString:
    """An object as text inside of another one."""
    return LiteralScalarString(_dump(value))


def text_of(value: Mapping[str, Any], source: str, why: str = "") -> str:
    """A rendered file.

    Args:
        value: the object.
        source: what it is made from: the file to edit instead.
        why: what a reader should know, as a comment below the first line.
    """
    comment = "".join(f"# {line}\n" for line in why.splitlines())
    return f"{MARK}{source}.\n{comment}{_dump(value)}"


def _dump(value: Mapping[str, Any]) -> str:
    yaml = YAML(typ="rt")
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 4096
    yaml.representer.ignore_aliases = lambda _: True
    out = StringIO()
    yaml.dump(dict(value), out)
    return out.getvalue()
