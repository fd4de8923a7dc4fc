"""Rows that an agent was shown, read from its ring: half to fit int8 to, half to compare on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentd.engine.replay.rows import FIRST, RowFormat, Rows
from agentd.engine.replay.transitions import observations
from agentd.memory.mapped_file import RingDamaged
from agentd.memory.ring_reader import ROWS, ReplayRingReader

_MOST = 50_000
_BLOCK = 128
FITTED = 8192
_SEED = 0


@dataclass(frozen=True, eq=False)
class Recorded:
    """Rows stream by stream, in blocks of 128 that follow each other; every other block is fitted.

    fitted (n, features) float32: what the network saw of rows of the even blocks. Of the odd
    blocks' m rows: raw (m, row_bytes) uint8; first (m,) bool: begins an episode or a block; played
    (m, branches) int32: the action there, 0 where an episode ended.
    """

    fitted: NDArray[np.float32]
    raw: NDArray[np.uint8]
    first: NDArray[np.bool_]
    played: NDArray[np.int32]


def read_recorded(replay: Path, format: RowFormat, fitted: int = FITTED) -> Recorded | None:
    """Return the newest rows of the ring in an agent's ``replay`` folder; None without any.

    At most so many of them are ``fitted``.
    """
    if not (replay / ROWS).is_file():
        return None
    try:
        reader = ReplayRingReader(replay / ROWS, format)
    except RingDamaged:
        return None
    head = reader.head
    low, _ = reader.window(head)
    rows, found = reader.rows(head), np.arange(max(low, head - _MOST), head)
    return _split(rows, found, fitted) if len(found) else None


def _split(rows: Rows, found: NDArray[np.int64], most: int) -> Recorded:
    stream = rows.stream[found % rows.capacity]
    found = found[np.argsort(stream, kind="stable")]
    block, at = np.divmod(np.arange(len(found)), _BLOCK)
    fitted, shown = found[block % 2 == 0], found[block % 2 == 1]
    if len(fitted) > most:
        fitted = np.random.default_rng(_SEED).choice(fitted, most, replace=False)
    slot = shown % rows.capacity
    first = (rows.kind[slot] == FIRST) | (at[block % 2 == 1] == 0)
    return Recorded(
        observations(rows, fitted), rows.obs[slot], first, np.maximum(rows.action[slot], 0)
    )
