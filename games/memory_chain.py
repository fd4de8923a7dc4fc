"""Memory chain: see a cue, walk on blindly, and choose by the cue at the end.

Osband et al. 2020, "Behaviour Suite for Reinforcement Learning" (arXiv:1908.03568), memory length:
what is seen at the choice is the same for both cues, so a policy that sees one row, or a few, is
right half of the time, and no more.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.games.game import (
    ArraySpec,
    Spec,
    TimeStep,
    check_actions,
    check_streams,
    first_rows,
    outcome,
    with_resets,
)

LENGTH = 20


class MemoryChain:
    """S chains of ``length`` steps side by side.

    ## Description
    The first row shows the cue. After it nothing tells of the cue; only the action at the last row
    before the end counts.

    ## Action Space
    ``Discrete(2)``: 0 for the cue -1, 1 for the cue 1. Both are always legal.

    ## Observation Space
    ``state``: float32 (3,): the cue, -1 or 1 in the first row and 0 in all others; 1 where the
    action counts, else 0; the share of the steps that are done.

    ## Rewards
    1 at the end for the cue's action, else 0. The best return is 1, that of guessing 0.5.

    ## Episode End
    Terminated after ``length`` steps.
    """

    def __init__(self, streams: int, rng: np.random.Generator, *, length: int = LENGTH) -> None:
        seen = {"state": ArraySpec("float32", (3,))}
        self.spec = Spec("memory-chain", seen, actions=2, max_steps=length, masked=False)
        self.streams, self.length = streams, length
        self.cue = np.zeros(streams, np.int64)  # 0 or 1, the right action
        self.elapsed = np.zeros(streams, np.int64)
        self._rng, self._every = rng, np.arange(streams)
        self.reset()

    def reset(self, streams: NDArray[np.integer[Any]] | None = None) -> TimeStep:
        """Show a new cue in each of ``streams``; see ``Game.reset``."""
        which = self._every if streams is None else streams
        check_streams(which, self.streams)
        self.cue[which] = self._rng.integers(2, size=len(which))
        self.elapsed[which] = 0
        return first_rows(which, {"state": self._seen()[which]})

    def step(self, actions: NDArray[np.integer[Any]]) -> TimeStep:
        """Take one step in every chain; see ``Game.step``."""
        check_actions(actions, self.streams, 2)
        self.elapsed += 1
        over = self.elapsed >= self.length
        frame = TimeStep(
            stream=self._every.astype(np.uint32),
            kind=outcome(over, np.zeros_like(over)),
            reward=(over & (actions == self.cue)).astype(np.float32),
            obs={"state": self._seen()},
            mask=None,
        )
        return with_resets(self, frame)

    def _seen(self) -> NDArray[np.float32]:
        cue = np.where(self.elapsed == 0, 2 * self.cue - 1, 0)
        counts = self.elapsed == self.length - 1
        return np.stack((cue, counts, self.elapsed / self.length), axis=1).astype(np.float32)

    def render(self, stream: int = 0) -> str:
        """Draw the chain of ``stream``, and the cue where it is seen."""
        at = int(self.elapsed[stream])
        cue = "?" if at else "-+"[int(self.cue[stream])]
        return f"cue {cue} |{'=' * at}o{'.' * (self.length - at)}|"
