"""One simulated cluster for the tests of a module."""

import importlib.util
import os
from collections.abc import Iterator

import pytest

from .simulated import ENVIRONMENT, STORE_BYTES, Nodes, be_patient


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """A head of one CPU; it is gone after the module. Skips without Ray."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed (extra ray)")
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT)
    from ray.cluster_utils import Cluster

    be_patient()
    head = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield Nodes(cluster)
    finally:
        cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)
