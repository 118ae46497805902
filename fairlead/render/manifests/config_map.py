"""The ConfigMap that tells every pod of an environment where things are."""

from fairlead.lineage.digest import hash_text
from fairlead.render.manifests.collector import collector_url
from fairlead.render.manifests.objects import ENVIRONMENT_CONFIG, Object, thing
from fairlead.spec.environment import EnvironmentSpec

REPO = "/app"
"""Where the images have the repository."""


def config_map(environment: EnvironmentSpec) -> Object:
    """`fairlead-environment`: the settings of `fairlead/settings.py`, and how S3 is reached."""
    return thing(
        "v1", "ConfigMap", ENVIRONMENT_CONFIG, namespace=environment.namespace, data=_beside_the_collector(environment)
    )


def environment_variables(environment: EnvironmentSpec) -> dict[str, str]:
    """What steps of pipelines need, in any namespace; by name, no secrets."""
    bucket = environment.storage.bucket
    variables = {
        "FAIRLEAD_REPO": REPO,
        "FAIRLEAD_FEATURE_STORE": f"{REPO}/feature_repo/envs/cluster/feature_store.yaml",
        "FAIRLEAD_TABLES_URI": f"{bucket}/tables",
        "FAIRLEAD_FEAST_URI": f"{bucket}/feast",
        "FAIRLEAD_TRACKING_URI": environment.tracking,
        "FAIRLEAD_ARTIFACTS_URI": f"{bucket}/mlflow",
        "FAIRLEAD_BUNDLES_URI": environment.bundles_uri,
        "AWS_REGION": environment.storage.region,
    }
    if environment.storage.endpoint is not None:
        variables["AWS_ENDPOINT_URL"] = environment.storage.endpoint
    return variables


def _beside_the_collector(environment: EnvironmentSpec) -> dict[str, str]:
    collector = {"FAIRLEAD_COLLECTOR_URL": collector_url()} if environment.records else {}
    return {**environment_variables(environment), **collector}


def variables_digest(environment: EnvironmentSpec) -> str:
    """An annotation of pods: they are replaced when a variable changes, which they read once."""
    text = "\n".join(f"{name}={value}" for name, value in _beside_the_collector(environment).items())
    return hash_text(text)[:12]
