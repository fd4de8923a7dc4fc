"""One simulated cluster for all tests of this folder."""

import importlib.util
import os
from collections.abc import Iterator

import pytest

from .simulated import ENVIRONMENT, Nodes, node_options, start_lean


@pytest.fixture(scope="session")
def nodes() -> Iterator[Nodes]:
    """A head of one CPU; it is gone after the session. Skips without Ray."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed (extra ray)")
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT)
    from ray.cluster_utils import Cluster

    start_lean()
    head = node_options(1, include_dashboard=False, include_log_monitor=False, no_monitor=True)
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield Nodes(cluster)
    finally:
        cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)
