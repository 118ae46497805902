"""Kustomizations: how bases and what differs between environments come together."""

from collections.abc import Sequence
from typing import Any

from fairlead.render.documents import dump
from fairlead.render.manifests.config_map import variables_digest
from fairlead.render.manifests.inference_service import INITIALIZER, STOP
from fairlead.render.manifests.objects import PIPELINE_IMAGE, SERVING_IMAGE, VERSION, Object
from fairlead.rollout.document import KIND
from fairlead.rollout.serve import Arm, service_name
from fairlead.spec.environment import EnvironmentSpec, ImagesSpec, ScaleSpec, split_image

HEAD = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
COMPONENT = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}


def base(files: Sequence[str]) -> Object:
    """Only its files."""
    return {**HEAD, "resources": sorted(files)}


def component(files: Sequence[str]) -> Object:
    """Files that an environment may add."""
    return {**COMPONENT, "resources": sorted(files)}


def of_environment(environment: EnvironmentSpec, images: ImagesSpec, files: Sequence[str]) -> Object:
    """What an environment has whatever its models are: its own objects, and the runtime with its image."""
    whole: Object = {
        **HEAD,
        "namespace": environment.namespace,
        "resources": [*sorted(files), "../../../workloads/serving-runtime"],
        "images": [_image(PIPELINE_IMAGE, images.pipeline), _image(SERVING_IMAGE, images.serving)],
    }
    if environment.external_secrets:
        whole["components"] = ["../../../variants/external-secrets"]
    return whole


def of_model(model: str, environment: EnvironmentSpec, images: ImagesSpec, scale: ScaleSpec) -> Object:
    """A model in an environment: its base, what its release says, how much of it there is."""
    return {
        **HEAD,
        "namespace": environment.namespace,
        "resources": [f"../../../workloads/models/{model}", "prometheus-rule.yaml", "release.yaml"],
        "images": [_image(SERVING_IMAGE, images.serving)],
        "replacements": _replacements(model),
        "patches": [
            {"target": {"kind": "InferenceService"}, "patch": dump(_scaled(environment, scale))},
            {"target": {"kind": "HTTPRoute"}, "patch": dump(_attached(model, environment))},
        ],
    }


def _replacements(model: str) -> list[Object]:
    arms: tuple[Arm, ...] = ("stable", "candidate")
    copied = [
        ("version", [f"metadata.annotations.[{VERSION}]"]),
        ("stop", [f"metadata.annotations.[{STOP}]"]),
        (
            "storageUri",
            ["spec.predictor.model.storageUri", f"spec.predictor.initContainers.[name={INITIALIZER}].args.0"],
        ),
    ]
    services = [
        _copy(model, f"serve.{arm}.{key}", {"kind": "InferenceService", "name": service_name(model, arm)}, fields)
        for arm in arms
        for key, fields in copied
    ]
    return [*services, _copy(model, "serve.rules", {"kind": "HTTPRoute", "name": model}, ["spec.rules"])]


def _copy(model: str, source: str, target: Object, fields: list[str]) -> Object:
    return {
        "source": {"kind": KIND["kind"], "name": model, "fieldPath": source},
        "targets": [{"select": target, "fieldPaths": fields}],
    }


def _scaled(environment: EnvironmentSpec, scale: ScaleSpec) -> Object:
    """A merge patch of maps: one of lists would replace them whole."""
    resources = {"requests": {"cpu": scale.cpu, "memory": scale.memory}, "limits": {"memory": scale.memory}}
    return _patch(
        "serving.kserve.io/v1beta1",
        "InferenceService",
        {
            "predictor": {
                "annotations": {"fairlead.dev/environment": variables_digest(environment)},
                "minReplicas": scale.min_replicas,
                "maxReplicas": scale.max_replicas,
                "scaleTarget": scale.cpu_percent,
                "model": {"resources": resources},
            }
        },
    )


def _attached(model: str, environment: EnvironmentSpec) -> Object:
    gateway = environment.gateway
    return _patch(
        "gateway.networking.k8s.io/v1",
        "HTTPRoute",
        {
            "parentRefs": [{"name": gateway.name, "namespace": gateway.namespace}],
            "hostnames": [f"{model}.{gateway.hostname}"],
        },
    )


def _patch(api: str, kind: str, spec: Any) -> Object:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "any"}, "spec": spec}


def _image(placeholder: str, image: str) -> Object:
    name, tag, digest = split_image(image)
    version = {"digest": digest} if digest else {"newTag": tag}
    return {"name": placeholder, "newName": name, **version}
