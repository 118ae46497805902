"""What tests on a cluster share. They take any: KUBECONFIG names it, and kubectl is on the PATH."""

import os
import subprocess
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def kubectl() -> Callable[..., str]:
    """Run kubectl and return what it printed; what it refuses is an AssertionError with its words."""
    assert os.environ.get("KUBECONFIG"), "KUBECONFIG must name the cluster to test on"

    def run(*words: str, text: str | None = None, check: bool = True) -> str:
        done = subprocess.run(["kubectl", *words], input=text, text=True, capture_output=True, check=False)
        assert done.returncode == 0 or not check, f"kubectl {' '.join(words)}: {done.stderr}"
        return done.stdout + done.stderr if not check else done.stdout

    return run
