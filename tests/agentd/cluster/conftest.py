"""One simulated cluster for all tests of this folder."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import chess
import numpy as np
import pytest

from agentd.games.chess.board.moves import move_index
from agentd.games.chess.board.position import encode_boards
from agentd.games.chess.data.shards import MANIFEST, Manifest, ShardWriter
from agentd.store import write_file

from .simulated import ENVIRONMENT, LEAN_HEAD, Nodes, node_options, start_lean


@pytest.fixture(scope="session")
def nodes() -> Iterator[Nodes]:
    """A head of one CPU; it is gone after the session. Skips without Ray."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed (extra ray)")
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT)
    from ray.cluster_utils import Cluster

    start_lean()
    cluster = Cluster(initialize_head=True, head_node_args=node_options(1, **LEAN_HEAD))
    try:
        yield Nodes(cluster)
    finally:
        cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Positions that all have one move, and three results."""
    folder = tmp_path_factory.mktemp("shards")
    rows = np.repeat(encode_boards([chess.Board()], 1500, 1500), 128)
    rows["move"] = move_index(chess.Move.from_uci("e2e4"), True)
    rows["result"] = np.arange(128) % 3 - 1
    manifest = Manifest({}, 128, [])
    ShardWriter(folder, manifest, write_file).add(rows)
    write_file(folder / MANIFEST, manifest.encode())
    return folder
