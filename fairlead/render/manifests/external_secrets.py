"""ExternalSecrets: for whoever keeps secrets in a store that the operator External Secrets reads."""

from collections.abc import Mapping

from fairlead.render.manifests.objects import (
    ONLINE_STORE_SECRET,
    RECORDS_SECRET,
    RELEASES_SECRET,
    STORAGE_SECRET,
    Object,
    thing,
)

STORE = "fairlead"
"""The ClusterSecretStore that they are read from."""
KEYS: Mapping[str, tuple[str, ...]] = {
    STORAGE_SECRET: ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ONLINE_STORE_SECRET: ("FAIRLEAD_ONLINE_STORE",),
    RECORDS_SECRET: ("FAIRLEAD_PSEUDONYM_KEY",),
    RELEASES_SECRET: ("FAIRLEAD_GIT_TOKEN",),
}
"""Secret → its keys: all secrets that an environment needs."""


def external_secret(name: str) -> Object:
    """The Secret `name`, with each key read from the entry `<Secret>/<key>` of the store."""
    return thing(
        "external-secrets.io/v1",
        "ExternalSecret",
        name,
        spec={
            "refreshInterval": "1h",
            "secretStoreRef": {"kind": "ClusterSecretStore", "name": STORE},
            "target": {"name": name},
            "data": [{"secretKey": key, "remoteRef": {"key": name, "property": key}} for key in KEYS[name]],
        },
    )
