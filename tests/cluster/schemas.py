"""JSON schemas of all that a cluster knows, as kubeconform reads them; a key that is not declared is refused."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.cluster.programs import kubectl

LOCATION = "{{.Group}}_{{.ResourceKind}}_{{.ResourceAPIVersion}}.json"
Schema = dict[str, Any]


def write_schemas(folder: Path) -> str:
    """Write them into a folder; returns kubeconform's `-schema-location`."""
    document = json.loads(kubectl("get", "--raw", "/openapi/v2"))
    definitions = {name: strict(schema) for name, schema in document["definitions"].items()}
    (folder / "definitions.json").write_text(json.dumps({"definitions": definitions}))
    for name, schema in document["definitions"].items():
        for kind in schema.get("x-kubernetes-group-version-kind", []):
            _write(
                folder, kind["group"], kind["kind"], kind["version"], {"$ref": f"definitions.json#/definitions/{name}"}
            )
    # The cluster's OpenAPI leaves out what it cannot say of a custom resource; its definition has all of it.
    for item in json.loads(kubectl("get", "crds", "-o", "json"))["items"]:
        for group, kind, version, schema in custom(item):
            _write(folder, group, kind, version, schema)
    return str(folder / LOCATION)


def custom(definition: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Schema]]:
    """Group, kind, version and schema of a CustomResourceDefinition."""
    spec = definition["spec"]
    for version in spec["versions"]:
        schema = strict(version["schema"]["openAPIV3Schema"])
        properties = schema.setdefault("properties", {})
        properties |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
        yield spec["group"], spec["names"]["kind"], version["name"], schema


def strict(schema: Any) -> Any:
    """The same schema as plain JSON schema, in which an object has no other keys than those it declares."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        return {"type": ["integer", "string"]}
    found = {
        key: _values(value) if key in ("properties", "definitions") else strict(value) for key, value in schema.items()
    }
    if "properties" in found and not found.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    if found.pop("nullable", False) and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
    if isinstance(found.get("$ref"), str):
        found["$ref"] = found["$ref"].replace("#/definitions/", "definitions.json#/definitions/")
    return found


def _values(properties: Mapping[str, Any]) -> Schema:
    """Keys that are names, which only look like words of a schema."""
    return {name: strict(value) for name, value in properties.items()}


def _write(folder: Path, group: str, kind: str, version: str, schema: Schema) -> None:
    (folder / f"{group or version}_{kind.lower()}_{version}.json").write_text(json.dumps(schema))
