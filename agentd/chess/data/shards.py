"""Folders of shards as a trainer and a measurement read them."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.errors import MissingInput
from agentd.games.chess.board.position import Positions
from agentd.games.chess.data.batches import ChessRows
from agentd.games.chess.data.shards import open_shards, read_manifest

HELD_SEED = 0


def open_folder(folder: Path) -> list[Positions]:
    """Return the shards in ``folder``. Raises MissingInput, ShardsDamaged."""
    try:
        return open_shards(folder)
    except FileNotFoundError:
        raise MissingInput(
            f"no shards in {folder}", hint="`agentd chess prepare` makes them"
        ) from None


def open_training(folder: Path) -> tuple[list[Positions], dict[str, Any]]:
    """Return the shards in ``folder``, and their rows and checksum, by which a run knows them.

    Raises MissingInput, ShardsDamaged.
    """
    opened = open_folder(folder)
    digest = hashlib.sha256()
    for shard in read_manifest(folder).shards:
        digest.update(bytes.fromhex(shard.sha256))
    return opened, {"rows": sum(map(len, opened)), "sha256": digest.hexdigest()}


def held_out(folder: Path, rows: int) -> Positions:
    """Return at most ``rows`` positions of the shards in ``folder``, always the same ones."""
    return draw_rows(ChessRows(open_folder(folder)), rows, HELD_SEED)


def draw_rows(rows: ChessRows, count: int, seed: int) -> Positions:
    """Return ``count`` of ``rows``, each at most once, or all of them where there are no more."""
    rng = np.random.default_rng(seed)
    chosen: NDArray[np.int64] = rng.choice(len(rows), min(count, len(rows)), replace=False)
    return rows.take(chosen)
