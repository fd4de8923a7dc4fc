"""The rows of sessions that ask for a level (R4): what they play instead of the best."""

import numpy as np
from numpy.typing import NDArray

from agentd.protocol.rows import TERMINATED
from agentd.server.batching.actor import Choice
from agentd.server.batching.batch import Batch


def turn_down(
    batch: Batch, mask: NDArray[np.uint8] | None, branches: tuple[int, ...], choice: Choice
) -> None:
    """Put into ``choice.action``, in place, what is played at the levels that were asked for.

    ``mask`` (N, A): the actions that there are, None for all; ended rows keep their -1.
    """
    start = 0
    for frame, end in zip(batch.frames, batch.ends, strict=True):
        dial = frame.session.dial
        if dial is not None:
            rows = start + np.flatnonzero(batch.kind[start:end] < TERMINATED)
            legal = None if mask is None else mask[rows]
            local = batch.local[rows]
            choice.action[rows] = dial.choose(choice.q[rows], legal, branches, local, frame.seq)
        start = end
