"""An agent that only plays, with weights that are learned elsewhere: it follows their checkpoints.

The folder is that of an agent of another daemon, as this machine sees it: on shared storage, or
copied there. A checkpoint that comes is kept here too, so that a start does not need the folder.
"""

import asyncio
import logging
import time
from pathlib import Path

from agentd.config.records import FollowConfig
from agentd.engine.errors import EngineError
from agentd.engine.network.weights import join
from agentd.errors import AgentdError
from agentd.server.batching.actor import Actor
from agentd.store import (
    Checkpoint,
    checkpoint_files,
    keep_checkpoint,
    list_checkpoints,
    read_checkpoint,
)

log = logging.getLogger("agentd.following")


class Follower:
    """Looks for newer checkpoints and plays them. trouble: why it cannot, in words; "" else."""

    def __init__(self, config: FollowConfig, actor: Actor, own: Path, *, keeps: bool) -> None:
        """``own`` is the agent's folder of checkpoints; ``keeps``: what comes is copied there."""
        source = Path(config.folder).expanduser()
        within = source / "checkpoints"
        self._source = within if source.name != "checkpoints" else source
        self._every_s, self._actor, self._own, self._keeps = config.every_s, actor, own, keeps
        self._due, self._name = 0.0, ""
        self.trouble = ""

    async def look(self) -> None:
        """Look whether it is time and there is a newer checkpoint; if so, play it."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + self._every_s
        trouble = ""
        try:
            if (found := await asyncio.to_thread(self._read)) is not None:
                self._actor.weights[:] = join(self._actor.network, found.weights)
                self._actor.publish(found.step)
                log.info("plays checkpoint %s of %s", found.name, self._source)
                self._name = found.name
        except (AgentdError, EngineError) as fault:
            trouble = f"it does not follow {self._source}: {fault}"
        if not trouble and not self._name:
            trouble = f"nothing to follow: no checkpoint in {self._source}"
        if trouble and trouble != self.trouble:
            log.warning("%s", trouble)
        self.trouble = trouble

    def _read(self) -> Checkpoint | None:
        """Return the newest checkpoint unless it is played already; it is copied first."""
        names = list_checkpoints(self._source)
        if not names or names[0] == self._name:
            return None
        found = read_checkpoint(self._source)
        if found is None or found.name == self._name:
            return None
        join(self._actor.network, found.weights)  # one of another network is not kept
        if self._keeps:
            files = checkpoint_files(self._source, found.name)
            keep_checkpoint(self._own, found.name, files, keep=1)
        return found
