"""The cluster's side of suites that run on this machine too."""

from collections.abc import Callable

import pytest

from tests.cluster.conftest import Namespace, image, namespace

__all__ = ["cluster_plane", "image", "namespace"]


@pytest.fixture(scope="module")
def cluster_plane(namespace: Namespace, image: Callable[[str], str]) -> object:
    """Two services behind the gateway of FAIRLEAD_TEST_GATEWAY."""
    from tests.contracts.test_strategies import OnCluster

    return OnCluster(namespace, image("serving"))
