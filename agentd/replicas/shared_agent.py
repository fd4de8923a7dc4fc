"""One agent of the shared learner: the serving side of a learner whose games are elsewhere.

It writes a ring, reads a board, and keeps ``agentd.learner`` alive below it, as a daemon does for
its own agents; the folder is that of an agent, and any tool that reads agents reads it.
"""

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from agentd.assembly.network import network_for
from agentd.assembly.ring import plan_ring
from agentd.config import AgentConfig, agent_config_from_wire
from agentd.config.changes import apply_changes
from agentd.config.records import LimitsConfig
from agentd.errors import ExitCode
from agentd.learner.handle import LearnerHandle
from agentd.learner.pace import pace_of
from agentd.memory.layout import RingLayout
from agentd.memory.mapped_file import RingCounters
from agentd.memory.ring_reader import ROWS, TEACH
from agentd.memory.shared_ring import RowRun, SharedRing
from agentd.memory.teach_ring import TeachRing
from agentd.memory.weight_board import Publication, WeightBoard
from agentd.protocol.schema import Schema
from agentd.replicas.calls import CallRefused, NotJoined, Values, unpack_run
from agentd.replicas.members import Members, ReplicaState
from agentd.store import list_checkpoints, read_checkpoint

log = logging.getLogger("agentd.replicas")

_LOOK_S = 0.01
"""How often the board is looked at for weights that somebody waits for."""
_WAKE_AFTER_S = 0.002


class SharedAgent:
    """Rows of many replicas in, weights for all of them out."""

    def __init__(
        self, folder: Path, config: AgentConfig, schema: Schema, device: str, limits: LimitsConfig
    ) -> None:
        """Open its files. Raises StorageError, ModelError, NoValidCheckpoint."""
        self.folder, self.config, self.schema = folder, config, schema
        replay = folder / "replay"
        network = network_for(config, schema)
        self._board = WeightBoard.open(replay / "weights.board", network.n_params)
        self._params = np.empty(network.n_params, np.float32)
        self._members = Members(folder / "replicas.json")
        self.ring = self._open_ring(replay, limits)
        self._members.recover(self.ring.last_seqs())
        self._stored = next(iter(list_checkpoints(folder / "checkpoints")), None)
        self._settled = self.ring.head
        self._settling = asyncio.Lock()
        self._handle = LearnerHandle(
            folder,
            self,
            self._board,
            pace_of(config),
            device=device,
            hang_s=limits.hang_s,
            wake_after_s=_WAKE_AFTER_S,
        )
        self._running = asyncio.create_task(self._handle.run())
        self._joined: dict[str, ReplicaState] = {}
        self.waiting = self.ring.waiting

    def _open_ring(self, replay: Path, limits: LimitsConfig) -> SharedRing | TeachRing:
        plan = plan_ring(self.config, self.schema, limits)
        found = read_checkpoint(self.folder / "checkpoints")
        begin = RingCounters()
        if found is not None and "counters" in found.facts:
            begin = RingCounters(**found.facts["counters"])._replace(head=0, masks_since=-1)
        if not isinstance(plan.layout, RingLayout):
            path = replay / TEACH
            return TeachRing.open(path, plan.layout, plan.capacity, slack=plan.slack, begin=begin)
        path = replay / ROWS
        ring = SharedRing.open(path, plan.layout, plan.capacity, slack=plan.slack, begin=begin)
        ring.take_up()
        return ring

    # -- what the handle asks of a ring ----------------------------------------------------------

    @property
    def head(self) -> int:
        """Absolute index that the next row will have."""
        return self.ring.head

    def mark_durable(self, counters: RingCounters) -> None:
        """Note that rows are on disk, never fewer than were noted before."""
        if counters.head >= self._settled:
            self.ring.mark_durable(counters)

    # -- calls -----------------------------------------------------------------------------------

    def join(self, said: Values) -> Values:
        """Take a replica in, or back. Raises CallRefused."""
        self._take_config(agent_config_from_wire(said["config"]))
        if said["schema"] != self.schema.to_wire():
            raise CallRefused(
                f"agent {self.folder.name}: its games look otherwise than those of the other "
                f"replicas: want {self.schema.describe()}",
                ExitCode.CONFIG,
            )
        name = str(said["replica"])
        member = self._members.find(name, str(said["ring"]))
        self._joined[name] = member
        log.info("replica joined agent=%s name=%s number=%d", self.folder.name, name, member.number)
        return {"number": member.number, "serial": member.serial, "taken": member.taken}

    def _take_config(self, wanted: AgentConfig) -> None:
        """Learn as a replica says it, as far as that can change. Raises CallRefused."""
        _, made, left = apply_changes(self.config, wanted)
        if left:
            raise CallRefused(
                f"agent {self.folder.name} learns otherwise here: {left[0]}",
                ExitCode.CONFIG,
                hint="give all replicas the same configuration",
            )
        for change in made:
            log.warning("agent=%s %s: from the next start on", self.folder.name, change)

    async def push(self, said: Values) -> Values:
        """Take a run of rows of a replica. Raises NotJoined, CallRefused, StorageError."""
        member = self._member(said)
        ring, run = self.ring, unpack_run(said, self.ring.columns)
        if run.hi > member.taken:
            if run.lo < member.taken:  # its answer was lost, and it did not ask
                return {"taken": member.taken}
            if member.taken:
                member.lost += run.lo - member.taken
            if isinstance(ring, SharedRing):
                ring.append_run(member.number, member.serial, run)
            else:
                self._append_taught(ring, member, run)
            member.taken = run.hi
            self._handle.wake()
        if ring.head - self._settled > ring.capacity // 4:
            await self._settle()
        return {"taken": member.taken}

    def _append_taught(self, ring: TeachRing, member: ReplicaState, run: RowRun) -> None:
        column, seq = run.columns, np.arange(run.lo, run.hi, dtype=np.uint64)
        serial = np.full(len(seq), member.serial, np.uint32)
        ring.append(column["obs"], column["target"], column["weight"], serial, seq)

    async def _settle(self) -> None:
        """Put the rows on disk, and then how far each replica has come.

        Done before rows since the last time can leave the ring: what the file does not know of a
        replica, the ring does.
        """
        async with self._settling:
            counters = self.ring.counters
            if counters.head == self._settled:
                return
            members = self._members.snapshot()
            await asyncio.to_thread(self.ring.sync)
            self._settled = counters.head
            self.ring.mark_durable(counters)
            self._members.write(members)

    async def weights(self, said: Values) -> Values:
        """Return weights other than those of ``version`` within ``wait_s``, and how it does.

        Without new ones the answer has no ``params``.
        """
        member = self._member(said)
        member.env_steps = int(said.get("env_steps", 0))
        until, known = time.monotonic() + float(said["wait_s"]), said["version"]
        while not self._differs(known) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)
        answer: Values = {**self._state(), "elsewhere": self._elsewhere(member)}
        if self._differs(known):
            found = self._board.read_into(self._params)
            if found is not None:
                answer |= {"version": list(found), "params": self._params.tobytes()}
        return answer

    def _differs(self, known: Any) -> bool:
        newest = self._board.newest
        return newest is not None and (known is None or newest != Publication(*known))

    def _elsewhere(self, member: ReplicaState) -> int:
        """Environment steps of all other replicas: those here, and those of before."""
        return max(0, self.ring.counters.env_steps - member.env_steps)

    def _state(self) -> Values:
        handle = self._handle
        saved = self._stored if handle.last_saved is None else handle.last_saved.checkpoint
        flags = {name: getattr(handle, name) for name in ("frozen", "diverged", "degraded", "good")}
        return {
            "flags": flags,
            "why": handle.why,
            "state": handle.state,
            "failure": handle.failure,
            "saved": saved,
            "stats": self._board.stats(),
            "replicas": self._members.here,
        }

    async def ask(self, said: Values) -> Values:
        """Save, load or freeze, for all replicas. Raises LearnerRefused, LearnerFailed."""
        self._member(said)
        handle, do = self._handle, said["do"]
        await handle.ready()
        if do == "freeze":
            await handle.freeze(bool(said["on"]))
            return self._state()
        if do == "save":
            await handle.save(kept=bool(said.get("kept", True)))
        elif do == "load":
            await handle.load(str(said["checkpoint"]))
        return self._state()

    def _member(self, said: Values) -> ReplicaState:
        member = self._joined.get(str(said.get("replica")))
        if member is None or member.serial != said.get("serial"):
            raise NotJoined
        member.heard = time.monotonic()
        return member

    async def close(self) -> None:
        """Save, and let go of the files."""
        await self._handle.stop(save=True)
        await self._running
        await self._settle()
        self.ring.close()

    def kill(self) -> None:
        """Kill the learner process at once."""
        self._handle.kill()
