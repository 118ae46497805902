"""The HTTPRoute of a release for the local gateway: the rules that a cluster gets, in a file."""

from pathlib import Path

import yaml

from fairlead.errors import RolloutError
from fairlead.files import write_whole
from fairlead.rollout.release import Release
from fairlead.rollout.serve import rules_of

STICKY = {"fairlead.io/sticky": "header=x-fairlead-user"}
"""In an A/B test a caller that names its user keeps that user with one arm."""


def route_of(release: Release) -> str:
    """The document, as YAML."""
    sticky = release.stage == "canary" and release.strategy == "ab"
    document = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": release.model, **({"annotations": STICKY} if sticky else {})},
        "spec": {"rules": rules_of(release)},
    }
    return yaml.safe_dump(document, sort_keys=False)


def write_routes(path: Path, release: Release) -> bool:
    """Write it in one step, if it says something else; returns whether it did.

    Raises:
        RolloutError: the file cannot be written.
    """
    text = route_of(release)
    try:
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return False
        write_whole(path, text)
        return True
    except OSError as error:
        raise RolloutError(f"{path}: cannot be written: {error.strerror}") from None
