"""What must hold in the simulation, looked at all along and after every end.

Rows are known by their numbers. What a game was answered is compared with what the ring holds:
each acknowledged row once, with the action that was answered, beside nothing that was never played.
"""

from __future__ import annotations

import os
import random
import zlib
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from agentd.protocol.rows import FIRST
from agentd.server.agents.agent import Agent
from agentd.store import NoValidCheckpoint, list_checkpoints, read_checkpoint
from tests.simulation.disk import Disk
from tests.simulation.edges import Violation
from tests.simulation.games import SCALE, Answered, Diary

ROOM = 8192
"""Rows of which a copy is kept: more than any ring of the simulation has."""
_COLUMNS = ("obs", "action", "reward", "kind")


class Book:
    """What is known of one agent.

    window_s  how old an acknowledged row may be that a power failure takes; None: as the disk likes
    lost      rows that were acknowledged and that a power failure took
    """

    def __init__(self, name: str, diary: Diary, window_s: float | None) -> None:
        self.name, self.diary, self.window_s = name, diary, window_s
        self.head = self.lost = self.unkept = 0
        self._floor = 0  # of older rows there is no copy
        self.excused = False  # at the end of the last life the daemon said that a sync had failed
        self.forgiven = 0  # rows that were answered while the disk refused them, by its own count
        self._kept: dict[int, tuple[int, int]] = {}  # by number of the row: index and action
        self._acknowledged: deque[tuple[int, float]] = deque(maxlen=ROOM)  # index, when
        self._copy: dict[str, Any] = {}
        self.checkpoint: tuple[str, int] | None = None  # newest acknowledged, and its checksum
        self.rotten: set[str] = set()  # checkpoints of which a bit was flipped

    # -- rows --------------------------------------------------------------------------------------

    def look(self, agent: Agent) -> None:
        """Compare what has come since the last look."""
        assert agent.learning is not None
        ring = agent.learning.ring
        if not np.isfinite(agent.actor.weights).all():
            raise Violation(f"{self.name}: weights are not finite")
        if ring.oldest > self.head:
            raise Violation(f"{self.name}: rows {self.head}..{ring.oldest} were never looked at")
        self._take_rows(ring)
        diary = self.diary
        while diary.answered:
            self._compare(diary.answered.popleft())
        for number in diary.forgotten:
            index = self._kept.get(number, (ring.head, 0))[0]
            if index >= ring.oldest:
                raise Violation(f"{self.name}: row {number}, at {index}, is said not to be there")
        diary.forgotten.clear()
        if self.unkept > self.forgiven + agent.learning.lost_rows:
            raise Violation(f"{self.name}: {self.unkept} acknowledged rows are not in the ring")
        self._note_checkpoint(agent)
        if len(self._kept) > 6 * ROOM:
            old = list(self._kept)[: -3 * ROOM]
            for number in old:
                del self._kept[number]
            newest = diary.rows - 40 * ROOM
            for number in [n for n in diary.sent if n < newest]:
                del diary.sent[number]

    def _take_rows(self, ring: Any) -> None:
        at = np.arange(self.head, ring.head)
        if not len(at):
            return
        slot, columns = at % ring.physical, ring.columns
        numbers = _numbers(columns["obs"][slot])
        for index, number, action, reward, kind in zip(
            at.tolist(),
            numbers,
            columns["action"][slot, 0].tolist(),
            columns["reward"][slot].tolist(),
            columns["kind"][slot].tolist(),
            strict=True,
        ):
            sent = self.diary.sent.get(number)
            if sent is None:
                raise Violation(f"{self.name}: row {index} is number {number}: nobody sent it")
            if number in self._kept:
                twice = (self._kept[number][0], index)
                raise Violation(f"{self.name}: number {number} is in the ring twice: {twice}")
            if kind != sent.kind or reward != (0.0 if kind == FIRST else sent.reward):
                raise Violation(f"{self.name}: row {index}, {sent}, is kept as {kind}, {reward}")
            self._kept[number] = (index, action)
        for name in _COLUMNS:
            column = columns[name]
            shape = (ROOM, *column.shape[1:])
            self._copy.setdefault(name, np.zeros(shape, column.dtype))[at % ROOM] = column[slot]
        self.head = ring.head

    def _compare(self, answered: Answered) -> None:
        kept = self._kept.get(answered.row.number)
        if kept is None:
            self.unkept += 1
        elif kept[1] != answered.action:
            raise Violation(f"{self.name}: {answered} has action {kept[1]} in the ring")
        else:
            self._acknowledged.append((kept[0], answered.at))

    # -- after an end ------------------------------------------------------------------------------

    def opened(self, agent: Agent, power_failed_at: float | None) -> None:
        """Compare the ring of a new life with that of the one before."""
        assert agent.learning is not None
        ring = agent.learning.ring
        head = ring.head
        if power_failed_at is None and head > self.head:  # the last moments were not looked at
            self._take_rows(ring)
        if head > self.head or (power_failed_at is None and head < self.head):
            raise Violation(f"{self.name}: {self.head} rows before the end, {head} after it")
        self._floor = max(self._floor, self.head - ROOM)
        oldest = max(ring.oldest, self._floor)
        at = np.arange(oldest, head)
        for name in _COLUMNS if len(at) else ():
            same = ring.columns[name][at % ring.physical] == self._copy[name][at % ROOM]
            if not same.all():
                bad = at[~same.reshape(len(at), -1).all(axis=1)]
                raise Violation(f"{self.name}: {name} of row {bad[0]} is not what was played")
        if power_failed_at is not None:
            self._lose(max(head, 0), ring.oldest, power_failed_at)
        self.head = head

    def _lose(self, head: int, oldest: int, failed_at: float) -> None:
        before = max(0, self.head - 900)  # older ones leave the ring as it is
        lost = [
            (index, at)
            for index, at in self._acknowledged
            if index >= head or before <= index < oldest
        ]
        self.lost += len(lost)
        kept = [each for each in self._acknowledged if each[0] < head]
        self._acknowledged = deque(kept, maxlen=ROOM)  # rows to come have the numbers of the lost
        if self.window_s is None or self.excused:
            return
        late = [each for each in lost if each[1] < failed_at - self.window_s]
        if late:
            age = failed_at - late[0][1]
            where = f"index {late[0][0]}..{late[-1][0]} of {oldest}..{head}, before {self.head}"
            raise Violation(
                f"{self.name}: {len(late)} rows lost, the first {age:.3f} s old, {where}"
            )

    # -- checkpoints -------------------------------------------------------------------------------

    def _note_checkpoint(self, agent: Agent) -> None:
        assert agent.learning is not None
        saved = agent.learning.handle.last_saved
        if saved is not None:
            self.acknowledge(saved.checkpoint, agent.checkpoints)

    def acknowledge(self, name: str, folder: Path) -> None:
        """Somebody was told that this checkpoint is on the disk."""
        if name in self.rotten or (self.checkpoint is not None and name <= self.checkpoint[0]):
            return
        weights = folder / name / "weights.safetensors"
        if weights.exists():
            self.checkpoint = (name, zlib.crc32(weights.read_bytes()))

    def rot(self, folder: Path, disk: Disk, chance: random.Random) -> bool:
        """Flip a bit of the newest checkpoint, now and then, where the one before is as whole."""
        newest, *older = list_checkpoints(folder)[:2] or [""]
        if chance.random() < 0.7 or not older or {newest, *older} & self.rotten:
            return False
        path = folder / newest / chance.choice(os.listdir(folder / newest))
        disk.rot(path, chance.randrange(8 * path.stat().st_size))
        self.rotten.add(newest)
        weights = folder / older[0] / "weights.safetensors"
        self.checkpoint = (older[0], zlib.crc32(weights.read_bytes()))
        return True

    def check_checkpoints(self, folder: Path) -> None:
        """With nobody at work: the newest whole checkpoint is the acknowledged one, or newer."""
        if self.checkpoint is None:
            return
        name, checksum = self.checkpoint
        try:
            found = read_checkpoint(folder)
        except NoValidCheckpoint as fault:
            raise Violation(f"{self.name}: {name} was acknowledged, and {fault}") from fault
        if found is None or found.name < name:
            raise Violation(f"{self.name}: {name} was acknowledged, {found and found.name} is left")
        if found.name in self.rotten:
            raise Violation(f"{self.name}: {found.name} is damaged, and was taken")
        if found.name == name:
            is_same = zlib.crc32((folder / name / "weights.safetensors").read_bytes()) == checksum
            if not is_same:
                raise Violation(f"{self.name}: {name} holds other weights than it did")
        if not all(np.isfinite(each).all() for each in found.weights.values()):
            raise Violation(f"{self.name}: {found.name} holds weights that are not finite")


def _numbers(obs: np.ndarray[Any, Any]) -> list[int]:
    """The numbers that rows (N, 16) bytes carry."""
    x = np.ascontiguousarray(obs).view(np.float32)[:, 0]
    return [int(number) for number in np.rint(x / np.float32(SCALE)).tolist()]
