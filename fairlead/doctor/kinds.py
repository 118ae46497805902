"""The kinds of objects that are looked at, in the versions that our manifests use."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind, and where the API server has it."""

    api: str
    """Group and version, as in `apiVersion`."""
    name: str
    plural: str

    def path(self, namespace: str = "", name: str = "") -> str:
        """From the root of the API server; without a namespace of the cluster's own kinds, without a name of all."""
        root = f"/api/{self.api}" if "/" not in self.api else f"/apis/{self.api}"
        scope = f"/namespaces/{namespace}" if namespace else ""
        return f"{root}{scope}/{self.plural}" + (f"/{name}" if name else "")

    def named(self, namespace: str, name: str) -> str:
        """As findings call an object."""
        return f"{self.name} {namespace}/{name}" if namespace else f"{self.name} {name}"


NAMESPACE = Kind("v1", "Namespace", "namespaces")
SECRET = Kind("v1", "Secret", "secrets")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
SERVICE = Kind("v1", "Service", "services")
POD = Kind("v1", "Pod", "pods")
REPLICA_SET = Kind("apps/v1", "ReplicaSet", "replicasets")
JOB = Kind("batch/v1", "Job", "jobs")
ENDPOINT_SLICE = Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
INFERENCE_SERVICE = Kind("serving.kserve.io/v1beta1", "InferenceService", "inferenceservices")
SERVING_RUNTIME = Kind("serving.kserve.io/v1alpha1", "ServingRuntime", "servingruntimes")
GATEWAY = Kind("gateway.networking.k8s.io/v1", "Gateway", "gateways")
HTTP_ROUTE = Kind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
APPLICATION = Kind("argoproj.io/v1alpha1", "Application", "applications")
APPLICATION_SET = Kind("argoproj.io/v1alpha1", "ApplicationSet", "applicationsets")
PIPELINE = Kind("pipelines.kubeflow.org/v2beta1", "Pipeline", "pipelines")
PIPELINE_VERSION = Kind("pipelines.kubeflow.org/v2beta1", "PipelineVersion", "pipelineversions")
POD_MONITOR = Kind("monitoring.coreos.com/v1", "PodMonitor", "podmonitors")
