"""What the players of a game see and do, from its ``env_info``: policies with sensors and heads."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentd.dialects.godot.numbers import BadValue, read_hex, read_numbers, read_whole, show
from agentd.protocol.errors import Code, ProtocolError

SHARED = "shared_policy"
"""The policy of all players in a game that names none (0.3)."""

IMAGE = "2d"
"""What a key must contain to be an image; its size is [C, H, W], its bytes lie in H·W·C order."""

_bad = partial(ProtocolError.unfit, Code.BAD_MESSAGE)


@dataclass(frozen=True)
class Sensor:
    """One key of an observation. ``name`` is its tensor; a choice becomes ``shape[0]`` 0s and a 1.

    numbers  float32, flat whatever the game's shape
    image    uint8 planes (C, H, W)
    choice   float32, one of n
    """

    key: str
    name: str
    kind: Literal["numbers", "image", "choice"]
    shape: tuple[int, ...]

    def read(self, value: Any) -> bytes:
        """The tensor of one row from the game's JSON. Raises BadValue."""
        if self.kind == "numbers":
            return read_numbers(value, self.shape[0]).tobytes()
        if self.kind == "choice":
            return np.eye(1, self.shape[0], read_whole(value, self.shape[0]), "<f4").tobytes()
        planes, height, width = self.shape
        pixels = read_hex(value, math.prod(self.shape)).reshape(height, width, planes)
        return pixels.transpose(2, 0, 1).tobytes()

    @property
    def unreadable(self) -> bytes:
        """A row that the server refuses: not finite where there are floats."""
        dtype: Any = "u1" if self.kind == "image" else "<f4"
        size = math.prod(self.shape)
        return (np.zeros(size, dtype) if dtype == "u1" else np.full(size, np.nan, dtype)).tobytes()


class ActionHead(NamedTuple):
    """One key of an action: one of ``size`` choices, or ``size`` numbers of -1..1."""

    name: str
    size: int
    discrete: bool


@dataclass(frozen=True)
class GamePolicy:
    """What several players share: one agent of ours, one session, a stream for each of them.

    agent    the name here; ``given`` the name in the game
    players  their numbers in the game, by stream
    """

    agent: str
    given: str
    sensors: tuple[Sensor, ...]
    heads: tuple[ActionHead, ...]
    players: tuple[int, ...]

    @property
    def observation(self) -> dict[str, Any]:
        """As ``hello.observation`` has it."""
        return {
            each.name: {
                "dtype": "uint8" if each.kind == "image" else "float32",
                "shape": list(each.shape),
            }
            for each in self.sensors
        }

    @property
    def action(self) -> dict[str, Any]:
        """As ``hello.action`` has it (R14)."""
        if all(head.discrete for head in self.heads):
            sizes = [head.size for head in self.heads]
            one = len(sizes) == 1
            return {
                "kind": "discrete" if one else "multi_discrete",
                "n": sizes[0] if one else sizes,
            }
        if not any(head.discrete for head in self.heads):
            width = sum(head.size for head in self.heads)
            return {"kind": "box", "low": [-1.0] * width, "high": [1.0] * width}
        heads: list[dict[str, Any]] = []
        for head in self.heads:
            if head.discrete:
                heads.append({"n": head.size, "name": head.name[:64]})
            else:
                names = [f"{head.name[:60]}.{at}" for at in range(head.size)]
                heads += [{"low": -1.0, "high": 1.0, "name": name} for name in names]
        return {"kind": "mixed", "heads": heads}

    @cached_property
    def columns(self) -> int:
        """Numbers of one action in ``act.action``."""
        return sum(1 if head.discrete else head.size for head in self.heads)

    @cached_property
    def row_bytes(self) -> int:
        """Bytes that one row takes of a step."""
        sizes = ((1 if s.kind == "image" else 4) * math.prod(s.shape) for s in self.sensors)
        return sum(sizes) + 16

    def read_actions(self, action: memoryview | bytes) -> NDArray[Any]:
        """``act.action`` as (rows, columns)."""
        numbered = all(head.discrete for head in self.heads)
        return np.frombuffer(action, "<i4" if numbered else "<f4").reshape(-1, self.columns)

    def action_of(self, numbers: Sequence[float]) -> dict[str, Any]:
        """What a player is to do, as the game reads it, from the ``columns`` numbers of its row."""
        out: dict[str, Any] = {}
        at = 0
        for head in self.heads:
            if head.discrete:
                out[head.name] = int(numbers[at])
                at += 1
            else:
                out[head.name] = [float(x) for x in numbers[at : at + head.size]]
                at += head.size
        return out


class GameSpaces(NamedTuple):
    """A game as its ``env_info`` describes it; ``version`` is the dialect that it speaks."""

    version: str
    players: int
    policies: tuple[GamePolicy, ...]


def read_spaces(info: dict[str, Any], prefix: str = "") -> GameSpaces:
    """Read ``env_info``; ``prefix`` goes before the names of our agents.

    Raises ProtocolError BAD_MESSAGE, naming key and player.
    """
    players = _count(info.get("n_agents"), "env_info.n_agents")
    newer = isinstance(info.get("observation_space"), list)
    seen = _each(info.get("observation_space"), "env_info.observation_space", players)
    done = _each(info.get("action_space"), "env_info.action_space", players)
    given = info.get("agent_policy_names")
    names = [SHARED] * players if given is None else _names(given, players)
    policies: dict[str, GamePolicy] = {}
    for name in dict.fromkeys(names):
        members = tuple(at for at, each in enumerate(names) if each == name)
        for at in members[1:]:
            if (seen[at], done[at]) != (seen[members[0]], done[members[0]]):
                raise _bad(
                    f"env_info, agent {at}",
                    f"the spaces of agent {members[0]}, which also has policy {name}",
                    "others",
                )
        agent = _agent_name(prefix + name)
        if (other := policies.get(agent)) is not None:
            expected = f"names that differ as agents ({agent})"
            raise _bad("env_info.agent_policy_names", expected, f"{other.given!r} and {name!r}")
        where = f"agent {members[0]}"
        sensors = _sensors(seen[members[0]], f"env_info.observation_space, {where}")
        heads = _heads(done[members[0]], f"env_info.action_space, {where}")
        policies[agent] = GamePolicy(agent, name, sensors, heads, members)
    return GameSpaces("0.7" if newer else "0.3", players, tuple(policies.values()))


def _each(spaces: Any, place: str, players: int) -> list[dict[str, Any]]:
    """A space for each player: 0.3 sends one for all of them."""
    if isinstance(spaces, dict):
        return [spaces] * players
    if not isinstance(spaces, list) or len(spaces) != players:
        raise _bad(place, f"a map, or a list of {players} (env_info.n_agents)", show(spaces))
    for at, space in enumerate(spaces):
        if not isinstance(space, dict):
            raise _bad(f"{place}[{at}]", "a map", show(space))
    return spaces


def _names(given: Any, players: int) -> list[str]:
    place = "env_info.agent_policy_names"
    if not isinstance(given, list) or len(given) != players:
        raise _bad(place, f"a list of {players} names (env_info.n_agents)", show(given))
    for at, name in enumerate(given):
        if not isinstance(name, str):
            raise _bad(f"{place}[{at}]", "a name", show(name))
    return given


def _agent_name(given: str) -> str:
    """The name of an agent of ours that comes nearest to the game's."""
    name = re.sub(r"[^a-z0-9._-]", "-", given.lower())
    return (name if name[:1].isalnum() else f"p{name}")[:64]


def _sensors(space: dict[str, Any], place: str) -> tuple[Sensor, ...]:
    sensors: dict[str, Sensor] = {}
    for key, spec in space.items():
        at = f"{place}.{key}"
        if not isinstance(spec, dict) or spec.get("space") not in ("box", "discrete"):
            raise _bad(at, "a map with `space`, box or discrete, and `size`", show(spec))
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", key)[:64] or "_"
        if name in sensors:
            raise _bad(at, f"a key that differs from {sensors[name].key!r} as a tensor", name)
        sensors[name] = _sensor(key, name, spec, at)
    return tuple(sensors.values())


def _sensor(key: str, name: str, spec: dict[str, Any], at: str) -> Sensor:
    size = spec.get("size")
    if spec["space"] == "discrete":
        one = size[0] if isinstance(size, list) and len(size) == 1 else size
        return Sensor(key, name, "choice", (_count(one, f"{at}.size"),))
    if not isinstance(size, list) or not size:
        raise _bad(f"{at}.size", "a list of sizes", show(size))
    shape = tuple(_count(n, f"{at}.size") for n in size)
    if IMAGE in key and len(shape) == 3:
        return Sensor(key, name, "image", shape)
    return Sensor(key, name, "numbers", (math.prod(shape),))


def _heads(space: dict[str, Any], place: str) -> tuple[ActionHead, ...]:
    if not space:
        raise _bad(place, "at least one action", "none")
    heads = []
    for name, spec in space.items():
        kind = spec.get("action_type") if isinstance(spec, dict) else None
        if kind not in ("discrete", "continuous"):
            expected = "a map with `action_type`, discrete or continuous, and `size`"
            raise _bad(f"{place}.{name}", expected, show(spec))
        heads.append(
            ActionHead(name, _count(spec.get("size"), f"{place}.{name}.size"), kind != "continuous")
        )
    return tuple(heads)


def _count(value: Any, place: str) -> int:
    """A whole number of 1 or more: Godot may write it as a float."""
    whole = isinstance(value, int | float) and not isinstance(value, bool)
    if not whole or not 1 <= value <= 2**31 or value != int(value):
        raise _bad(place, "a whole number of 1 or more", show(value))
    return int(value)


__all__ = ["ActionHead", "BadValue", "GamePolicy", "GameSpaces", "Sensor", "read_spaces"]
