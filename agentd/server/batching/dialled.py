"""The rows of sessions that ask for a level (R4): what they play instead of the best."""

import numpy as np

from agentd.protocol.rows import TERMINATED
from agentd.server.batching.actor import Actor, Choice
from agentd.server.batching.batch import Batch


def turn_down(batch: Batch, actor: Actor, head: int, env_steps: int, choice: Choice) -> None:
    """Put into ``choice.action``, in place, what is played at the levels that were asked for.

    ``head`` and ``env_steps`` tell which actions there are yet; ended rows keep their -1.
    """
    if not any(frame.session.dial for frame in batch.frames):
        return
    mask, start = actor.legal(batch.mask, head, env_steps, len(batch)), 0
    for frame, end in zip(batch.frames, batch.ends, strict=True):
        dial = frame.session.dial
        if dial is not None:
            rows = start + np.flatnonzero(batch.kind[start:end] < TERMINATED)
            legal = None if mask is None else mask[rows]
            local = batch.local[rows]
            choice.action[rows] = dial.choose(
                choice.q[rows], legal, actor.branches, local, frame.seq
            )
        start = end
