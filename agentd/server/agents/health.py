"""How an agent is, in one word and a reason: one answer for all who show or judge it.

degraded  something is broken, and acting goes on: a disk that refuses, files that were taken
          away, a learner that ended, hangs or makes no progress
paused    learning has stopped by itself, after updates that were not finite
frozen    learning was switched off
learning  updates are made; the reason tells of a learner that is too slow for its rows
starved   games train, and their rows do not suffice for an update
idle      nothing is to be learned: no game trains, or the agent is one that only plays
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from agentd.server.agents.following import Follower
from agentd.server.batching.learning import Learning
from agentd.store import Footing

log = logging.getLogger("agentd.health")

STATES = ("learning", "paused", "starved", "frozen", "degraded", "idle")
UNWELL = ("degraded", "paused")
LOOK_S = 1.0
"""How often storage and progress are looked at."""
_LATE_S = 15.0
"""A look at the storage that takes longer: the disk does not answer."""
_RECENT_S = 3.0
"""An update so long ago still counts as learning."""


class Condition(NamedTuple):
    """One of STATES, and why; the reason is "" where there is nothing to explain."""

    state: str
    state_reason: str


ONLY_PLAYS = Condition("idle", "it only plays (learner: none)")


class Health:
    """Looks at one agent's storage and progress, and says how it is."""

    def __init__(
        self, learning: Learning | None, footing: Footing, follower: Follower | None = None
    ) -> None:
        self.loss = ""  # what of its files is gone, in words
        self._learning, self._footing, self._follower = learning, footing, follower
        self._looking_since: float | None = None
        self._updates = 0 if learning is None else learning.updates
        self._advanced = -_RECENT_S  # when updates were last seen to have come, monotonic

    async def look(self) -> None:
        """Look at the disk, in a thread, and at the learner's progress."""
        self._looking_since = time.monotonic()
        loss = await asyncio.to_thread(self._footing.loss)
        if loss and loss != self.loss:
            log.error("data lost: %s", loss)
        self.loss, self._looking_since = loss, None
        if self._follower is not None:
            await self._follower.look()
        learning = self._learning
        if learning is not None:
            learning.look()
            self._advances(learning)

    def require_storage(self) -> None:
        """Raise StorageError when files of the agent were taken away. It touches the disk."""
        self._footing.require()

    def condition(self, training: int) -> Condition:
        """How the agent is now; ``training`` is how many connected sessions train."""
        troubles, learning = self._troubles(), self._learning
        if troubles and learning is not None and learning.handle.diverged:
            troubles.append(_way_on(learning))
        if troubles:
            return Condition("degraded", "; ".join(troubles))
        if learning is None:
            return ONLY_PLAYS
        if learning.handle.diverged:
            return Condition("paused", _way_on(learning))
        if learning.handle.frozen:
            return Condition("frozen", "learning was switched off (freeze)")
        if self._advances(learning) or learning.owes_updates:
            starting = learning.handle.state == "starting"
            reason = "the learner is starting" if starting else learning.too_slow
            return Condition("learning", reason)
        if training:
            return Condition("starved", f"it waits for rows: {learning.wants()}")
        return Condition("idle", "no game trains it")

    def _advances(self, learning: Learning) -> bool:
        """Whether updates were made a moment ago."""
        now = time.monotonic()
        if learning.updates != self._updates:
            self._updates, self._advanced = learning.updates, now
        return now - self._advanced < _RECENT_S

    def _troubles(self) -> list[str]:
        troubles, since = [self.loss] if self.loss else [], self._looking_since
        if since is not None and time.monotonic() - since > _LATE_S:
            troubles.append("the data directory does not answer")
        if self._follower is not None and self._follower.trouble:
            troubles.append(self._follower.trouble)
        if self._learning is not None:
            troubles += self._learning.troubles()
        return troubles


def _way_on(learning: Learning) -> str:
    handle = learning.handle
    why = handle.why.get("diverged") or "learning paused after non-finite updates"
    back = f"load {handle.good} goes back to the last good weights, " if handle.good else ""
    return f"{why}; {back}freeze off goes on from here, a lower optimizer.lr may help"


class Watched(Protocol):
    """What has a health."""

    @property
    def health(self) -> Health: ...


async def look_after(agents: Callable[[], Iterable[Watched]]) -> None:
    """Look at every agent once a second, for ever."""
    while True:
        await asyncio.sleep(LOOK_S)
        for agent in list(agents()):
            await agent.health.look()
