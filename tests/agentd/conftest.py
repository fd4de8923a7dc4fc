"""Rows for replay rings, as the server would write them."""

from typing import Any

import numpy as np
import pytest


@pytest.fixture
def rows() -> Any:
    """Build the arguments of `ReplayRing.append` for small rows."""

    def make(
        kind: list[int], stream: list[int], reward: list[float] | None = None, **more: Any
    ) -> dict[str, Any]:
        n = len(kind)
        values = {
            "obs": np.arange(n, dtype=np.uint8)[:, None].repeat(4, axis=1),
            "mask": None,
            "action": np.where(np.array(kind) >= 2, -1, 0)[:, None].astype(np.int32),
            "reward": np.array(reward or [0.0] * n, np.float32),
            "kind": np.array(kind, np.uint8),
            "explored": 0,
            "stream": np.array(stream, np.int64),
            "session": 1,
            "seq": 1,
            "version": 0,
        }
        return values | more

    return make
