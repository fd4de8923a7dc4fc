"""What the players of a policy saw as rows of a step, and the answers as what they do.

Where ``done`` is set the game sends the first observation of the next episode, and the last one of
the episode before is lost. The ended row takes it from ``info.terminal_observation`` where the game
gives it, else it repeats the last one known. It is truncated where ``info["TimeLimit.truncated"]``
says so, else terminated.

A row with a number that is none is refused: the server learns nothing of it. The player repeats its
last action, so the next good row of the episode carries the rewards of both and has taken as many
steps (``elapsed``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from agentd.dialects.godot.conversation import GameMoment
from agentd.dialects.godot.numbers import BadValue, read_number, show
from agentd.dialects.godot.spaces import GamePolicy
from agentd.protocol.facts import MAX_ELAPSED
from agentd.protocol.rows import FIRST, MID, TERMINATED, TRUNCATED

FINAL, LIMIT, SUCCESS = "terminal_observation", "TimeLimit.truncated", "is_success"
"""Keys of ``info`` that count where an episode ended."""


class Row(NamedTuple):
    """One row of a step; ``obs`` holds a tensor for each sensor."""

    stream: int
    kind: int
    reward: float
    obs: Sequence[bytes]
    elapsed: int = 1
    success: bool | None = None  # None: the game does not say


class PolicyRows(NamedTuple):
    """What one moment is for a policy.

    good      rows of a step, in order
    refused   rows that the server must refuse, for a step of their own
    faults    why, a line each: player, key, index, expected, got
    """

    good: list[Row]
    refused: list[Row]
    faults: list[str]


@dataclass(slots=True)
class _Player:
    """Where one player's episode stands."""

    open: bool = False
    obs: Sequence[bytes] = ()  # the last that was good
    action: dict[str, Any] = field(default_factory=dict)
    owed: float = 0.0  # rewards of refused rows
    elapsed: int = 1  # steps that the next row takes


class Episodes:
    """The players of one policy, each a stream."""

    def __init__(self, policy: GamePolicy) -> None:
        self.policy = policy
        still = policy.action_of([0] * policy.columns)
        self._players = [_Player(action=still) for _ in policy.players]
        self._unreadable = tuple(sensor.unreadable for sensor in policy.sensors)

    def rows(self, moment: GameMoment) -> PolicyRows:
        """Read a moment; the episodes go on."""
        rows = PolicyRows([], [], [])
        for stream, number in enumerate(self.policy.players):
            self._read(stream, number, moment, rows)
        return rows

    def played(self, row: Row, numbers: Sequence[float]) -> None:
        """Take the answer to a row."""
        if row.kind < TERMINATED:
            self._players[row.stream].action = self.policy.action_of(numbers)

    def actions(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """What each player does now, by its number in the game."""
        for number, player in zip(self.policy.players, self._players, strict=True):
            yield number, player.action

    def _read(self, stream: int, number: int, moment: GameMoment, rows: PolicyRows) -> None:
        player = self._players[stream]
        obs = self._observe(moment.obs[number], f"agent {number}: obs", rows.faults)
        reward = self._reward(moment, number, rows.faults)
        if player.open and moment.done is not None and moment.done[number]:
            self._end(stream, number, reward, moment.info[number], rows)
        elif player.open and reward is None:
            obs = None
        if obs is None:
            rows.refused.append(self._refused(stream, reward or 0.0))
        elif player.open:
            total = (reward or 0.0) + player.owed
            rows.good.append(Row(stream, MID, total, obs, player.elapsed))
        else:
            rows.good.append(Row(stream, FIRST, 0.0, obs))
        if obs is not None:
            player.open, player.obs, player.owed, player.elapsed = True, obs, 0.0, 1

    def _end(
        self, stream: int, number: int, reward: float | None, info: dict[str, Any], rows: PolicyRows
    ) -> None:
        """Add the ended row of a player's episode; it is cut where its reward is no number."""
        player = self._players[stream]
        final = player.obs
        if FINAL in info:
            place = f"agent {number}: info.{FINAL}"
            final = self._observe(info[FINAL], place, rows.faults) or final
        kind = TRUNCATED if reward is None or info.get(LIMIT) in (True, 1) else TERMINATED
        won = info.get(SUCCESS) in (True, 1) if SUCCESS in info else None
        total = (reward or 0.0) + player.owed
        rows.good.append(Row(stream, kind, total, final, player.elapsed, won))
        player.open, player.owed, player.elapsed = False, 0.0, 1

    def _refused(self, stream: int, reward: float) -> Row:
        player = self._players[stream]
        if player.open:
            player.owed += reward
            player.elapsed = min(player.elapsed + 1, int(MAX_ELAPSED))
        return Row(stream, MID if player.open else FIRST, 0.0, self._unreadable)

    def _observe(self, seen: Any, place: str, faults: list[str]) -> Sequence[bytes] | None:
        """The tensors of one observation; None, and a line to ``faults``, where it is wrong."""
        if not isinstance(seen, dict):
            faults.append(f"{place}: expected a map, got {show(seen)}")
            return None
        tensors = []
        for sensor in self.policy.sensors:
            at = f"{place}.{sensor.key}"
            try:
                tensors.append(sensor.read(seen.get(sensor.key)))
            except BadValue as bad:
                index = "" if bad.index is None else f"[{bad.index}]"
                faults.append(f"{at}{index}: {bad}")
                return None
        return tensors

    @staticmethod
    def _reward(moment: GameMoment, number: int, faults: list[str]) -> float | None:
        """What a player got for its last action; None, and a line, where it is no number."""
        if moment.reward is None:
            return 0.0
        try:
            return read_number(moment.reward[number])
        except BadValue as bad:
            faults.append(f"agent {number}: reward: {bad}")
            return None


def step_fields(policy: GamePolicy, rows: Sequence[Row]) -> dict[str, Any]:
    """``rows`` as the fields of a ``step`` message, but for its seq."""
    n = len(rows)
    fields: dict[str, Any] = {
        "stream": struct.pack(f"<{n}I", *(row.stream for row in rows)),
        "kind": bytes(row.kind for row in rows),
        "reward": _floats(row.reward for row in rows),
        "obs": {
            sensor.name: b"".join(row.obs[at] for row in rows)
            for at, sensor in enumerate(policy.sensors)
        },
    }
    if any(row.elapsed != 1 for row in rows):
        fields["elapsed"] = _floats(row.elapsed for row in rows)
    if any(row.success is not None for row in rows):
        fields["success"] = bytes(bool(row.success) for row in rows)
    return fields


def _floats(values: Iterable[float]) -> bytes:
    """float32; a sum that is none any more becomes infinite, and the server refuses it."""
    with np.errstate(over="ignore"):
        return np.array([*values]).astype("<f4").tobytes()
