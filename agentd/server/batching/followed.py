"""What was expected of an action, and the discounted return that really followed it.

One episode at a time is followed, then there is a rest four times as long, so that acting pays next
to nothing. A return is known to the end where the episode terminated; elsewhere the rows near the
end are left out, whose returns would be cut short.

Shape letters: N rows of a batch, A actions.
"""

import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.config.records import AgentConfig
from agentd.protocol.rows import FIRST, MID, TERMINATED

KEPT = 96
"""Pairs that the means are over."""
OF_EPISODE = 32
"""Pairs that one episode gives."""
LONGEST = 10_000
"""Rows after which an episode is followed no further."""
_CUT = 0.05
"""What may be missing of the weight of a return."""
_REST = 4


def followed_of(config: AgentConfig, branches: int) -> "FollowedReturns | None":
    """What follows an agent's returns; None where its Q is of no plain discounted return."""
    shaped, learner = config.reward, config.learner
    if branches > 1 or shaped.normalize or learner not in ("dqn", "pqn", "stream_q"):
        return None
    if learner == "dqn":
        if config.dqn.horizon_s is not None:
            return None
        return FollowedReturns(config.dqn.per_row(), shaped.scale, shaped.clip)
    own = config.pqn if learner == "pqn" else config.stream_q
    return FollowedReturns(own.gamma, shaped.scale, shaped.clip)


class FollowedReturns:
    """Means of Q and of the returns that followed, over the same rows.

    ``discount`` is from row to row; rewards are multiplied by ``scale`` and then clipped.
    """

    def __init__(self, discount: float, scale: float = 1.0, clip: float | None = None) -> None:
        self._discount, self._scale, self._clip = discount, scale, clip or math.inf
        weight = abs(discount)
        self._tail = math.ceil(math.log(_CUT) / math.log(weight)) if 0 < weight < 1 else LONGEST
        self._most = min(LONGEST, 4 * self._tail)
        self._pairs: deque[tuple[float, float]] = deque(maxlen=KEPT)
        self._slot, self._rest, self._seen = -1, 0, 0
        self._q: list[float] = []
        self._rewards: list[float] = []

    def look(
        self,
        stream: NDArray[np.int64],
        kind: NDArray[np.uint8],
        reward: NDArray[np.float32],
        action: NDArray[np.int32],
        q: NDArray[np.float32],
    ) -> None:
        """Take what is followed of rows that are learned: (N,) each, action (N, 1), q (N, A)."""
        if self._rest > 0:
            self._rest -= 1
            return
        self._seen += 1
        if self._slot < 0:
            at = kind.tobytes().find(FIRST)
            if at >= 0:
                self._slot = int(stream[at])
                self._expect(q[at], action[at])
            return
        found = np.flatnonzero(stream == self._slot)
        if not len(found):
            return
        at = int(found[0])
        if kind[at] == FIRST:  # the episode was cut
            self.forget()
            return
        self._rewards.append(max(-self._clip, min(self._clip, self._scale * float(reward[at]))))
        if kind[at] != MID or len(self._rewards) >= self._most:
            self._end(bool(kind[at] == TERMINATED))
        else:
            self._expect(q[at], action[at])

    def forget(self) -> None:
        """Leave the episode that is followed."""
        self._slot, self._q, self._rewards = -1, [], []
        self._rest, self._seen = _REST * self._seen, 0

    def stats(self) -> dict[str, Any]:
        """Both means by the names that `stats` has for them; None before the first episode."""
        pairs, n = self._pairs, len(self._pairs)
        return {
            "q_followed": sum(q for q, _ in pairs) / n if n else None,
            "return_followed": sum(followed for _, followed in pairs) / n if n else None,
        }

    def _expect(self, q: NDArray[np.float32], action: NDArray[np.int32]) -> None:
        self._q.append(float(q[action[0]]))

    def _end(self, terminated: bool) -> None:
        known = len(self._rewards) - (0 if terminated else self._tail)
        returns, followed = [], 0.0
        for reward in reversed(self._rewards):
            followed = reward + self._discount * followed
            returns.append(followed)
        returns.reverse()
        every = max(1, known // OF_EPISODE)
        self._pairs.extend(zip(self._q[:known:every], returns[:known:every], strict=False))
        self.forget()
