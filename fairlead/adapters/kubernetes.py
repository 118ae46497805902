"""Objects of a cluster, read by the official client."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import urllib3
import yaml
from kubernetes import client, config

from fairlead.doctor.kinds import SECRET, Kind
from fairlead.errors import ClusterDownError, NotAllowedError

TIMEOUT_SECONDS = (5, 30)
"""For the connection, for an answer."""


class KubernetesReader:
    """`ClusterReader` on the cluster that kubectl would ask."""

    def __init__(self, kubeconfig: Path | None, context: str | None) -> None:
        """Asks the cluster for its version.

        Args:
            kubeconfig: else those that KUBECONFIG names, else ~/.kube/config.
            context: else the file's current one.

        Raises:
            ClusterDownError: no such file or context, or the cluster does not answer.
        """
        settings = client.Configuration()
        try:
            config.load_kube_config(
                str(kubeconfig) if kubeconfig else None, context, client_configuration=settings, persist_config=False
            )
        except (config.ConfigException, OSError, yaml.YAMLError) as error:
            named = kubeconfig or config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION
            raise ClusterDownError(f"no cluster to ask: {named} names none: {error}") from None
        settings.retries = False
        self.address = str(settings.host)
        self._client = client.ApiClient(settings)
        self.version = str((self._get("/version") or {}).get("gitVersion"))

    def find(self, kind: Kind, namespace: str, name: str) -> dict[str, Any] | None:
        found = self._get(kind.path(namespace, name), kind.named(namespace, name))
        if found and kind == SECRET:
            return found | {"data": dict.fromkeys(found.get("data") or {}, "")}
        return found

    def every(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        query = [("labelSelector", ",".join(f"{key}={value}" for key, value in labels.items()))]
        found = self._get(kind.path(namespace), f"every {kind.name} in {namespace}", query) or {}
        return list(found.get("items", []))

    def versions(self, group: str) -> Sequence[str]:
        found = self._get(f"/apis/{group}") or {}
        return [item["groupVersion"] for item in found.get("versions", [])]

    def kinds(self, api: str) -> set[str]:
        found = self._get(f"/apis/{api}") or {}
        return {item["kind"] for item in found.get("resources", [])}

    def _get(self, path: str, what: str = "", query: Sequence[tuple[str, str]] = ()) -> dict[str, Any] | None:
        """The only call that is made; None is 404."""
        try:
            found: dict[str, Any] = self._client.call_api(
                path,
                "GET",
                query_params=list(query),
                header_params={"Accept": "application/json"},
                response_type="object",
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _request_timeout=TIMEOUT_SECONDS,
            )
        except client.ApiException as error:
            if error.status == 404:
                return None
            said = error.body or error.reason
            if error.status == 403:
                raise NotAllowedError(what or path, str(said)) from None
            raise ClusterDownError(f"{self.address} answers {path} with {error.status}: {said}") from None
        except urllib3.exceptions.HTTPError as error:
            raise ClusterDownError(f"{self.address} does not answer: {error}") from None
        return found
