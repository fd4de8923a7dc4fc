"""A game that speaks Godot RL Agents' wire as the plug-in does: the standard library only."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentd.auth import Tokens
from agentd.config import LimitsConfig, ServerConfig, agent_config_from_wire
from agentd.config.records import GodotConfig
from agentd.server import Server

CELLS = 5


def frame(message: dict[str, Any] | str) -> bytes:
    body = message if isinstance(message, str) else json.dumps(message, sort_keys=True)
    return struct.pack("<I", len(body)) + body.encode("ascii")


def pop_frames(data: bytes) -> list[bytes]:
    """The bodies of whole frames."""
    out = []
    while data:
        (size,) = struct.unpack_from("<I", data)
        out.append(data[4 : 4 + size])
        data = data[4 + size :]
    return out


class Corridor:
    """One player: cells in a row, start in the first, the last one ends the episode with 1."""

    def __init__(self) -> None:
        self.cell = self.steps = self.episodes = self.wins = 0

    def obs(self) -> dict[str, Any]:
        return {"cell": [float(self.cell == at) for at in range(CELLS)]}

    def act(self, action: dict[str, Any]) -> tuple[float, bool, dict[str, Any]]:
        """Reward, done and info; with done the next episode has begun."""
        self.cell = max(0, self.cell + (1 if action["move"] == 1 else -1))
        self.steps += 1
        won = self.cell == CELLS - 1
        if not won and self.steps < 40:
            return -0.02, False, {}
        seen = self.obs()
        info = {"is_success": won, "TimeLimit.truncated": not won, "terminal_observation": seen}
        self.cell = self.steps = 0
        self.episodes += 1
        self.wins += won
        return (1.0 if won else -0.02), True, info


class FakeGame:
    """Speaks the plug-in's part over asyncio streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.heard: list[dict[str, Any]] = []

    async def hear(self, within: float = 30.0) -> dict[str, Any] | None:
        """The trainer's next message; None when it has hung up."""
        async with asyncio.timeout(within):
            try:
                (size,) = struct.unpack("<I", await self.reader.readexactly(4))
                self.heard.append(json.loads(await self.reader.readexactly(size)))
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
        return self.heard[-1]

    async def say(self, message: dict[str, Any] | str) -> None:
        """Length and body in two segments, as the plug-in sends them."""
        data = frame(message)
        self.writer.write(data[:4])
        await asyncio.sleep(0)
        self.writer.write(data[4:])

    async def ask(self, message: dict[str, Any] | str) -> dict[str, Any] | None:
        await self.say(message)
        return await self.hear()

    async def join(
        self,
        players: int = 2,
        names: list[str] | None = None,
        obs: dict[str, Any] | None = None,
        action: dict[str, Any] | None = None,
        newer: bool = True,
    ) -> dict[str, Any] | None:
        """Greet, describe the game and hear what comes next: `reset`, or `close`."""
        assert (await self.hear() or {})["type"] == "handshake"
        assert await self.hear() == {"type": "env_info"}
        obs = obs or {"cell": {"size": [CELLS], "space": "box"}}
        action = action or {"move": {"action_type": "discrete", "size": 2}}
        info: dict[str, Any] = {"type": "env_info", "n_agents": players}
        info |= {"observation_space": obs, "action_space": action}
        if newer:
            info |= {"observation_space": [obs] * players, "action_space": [action] * players}
            info["agent_policy_names"] = names or ["shared_policy"] * players
        return await self.ask(info)

    async def play(self, players: list[Corridor], episodes: int, info: bool = True) -> None:
        """Begin where nothing was played yet; act until all have played so many episodes."""
        heard: dict[str, Any] | None = self.heard[-1]
        if heard == {"type": "reset"}:
            seen = [player.obs() for player in players]
            heard = await self.ask({"type": "reset", "obs": seen, "info": [{} for _ in players]})
        while min(player.episodes for player in players) < episodes:
            assert heard is not None, "the trainer hung up"
            assert heard["type"] == "action", heard
            came = [p.act(a) for p, a in zip(players, heard["action"], strict=True)]
            step: dict[str, Any] = {"type": "step", "obs": [player.obs() for player in players]}
            step |= {"reward": [each[0] for each in came], "done": [each[1] for each in came]}
            if info:
                step["info"] = [each[2] for each in came]
            heard = await self.ask(step)

    def vanish(self) -> None:
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


class Arena:
    """A running daemon with its door for these games."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._ready = asyncio.Event()
        self.games: list[FakeGame] = []
        self.task = asyncio.ensure_future(server.run(self._on_ready))

    def _on_ready(self, addresses: list[str]) -> None:
        self.addresses = addresses
        self.port = int(addresses[-1].rsplit(":", 1)[1])
        self._ready.set()

    async def up(self) -> Arena:
        ready = asyncio.ensure_future(self._ready.wait())
        await asyncio.wait({ready, self.task}, return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            ready.cancel()
            self.task.result()
        return self

    async def game(self) -> FakeGame:
        game = FakeGame(*await asyncio.open_connection("127.0.0.1", self.port))
        self.games.append(game)
        return game

    def stats(self, agent: str = "shared_policy") -> dict[str, Any]:
        return self.server.stats.agents(agent)[agent]

    async def until(self, done: Callable[[], bool], within: float = 20.0) -> None:
        async with asyncio.timeout(within):
            while not done():
                await asyncio.sleep(0.01)

    async def down(self) -> None:
        for game in self.games:
            await game.close()
        self.server.stop()
        await self.task


@pytest.fixture
async def arena(tmp_path: Path) -> Any:
    """A factory of daemons: ``await arena(agent={...}, godot={...}, window=2)``."""
    made: list[Arena] = []

    async def start(
        agent: dict[str, Any] | None = None,
        godot: dict[str, Any] | None = None,
        tokens: Tokens | None = None,
        **limits: Any,
    ) -> Arena:
        config = ServerConfig(
            port=0,
            http_port=None,
            autocreate=True,
            agent=agent_config_from_wire({"learner": "none"} | (agent or {})),
            godot=GodotConfig(**({"port": 0} | (godot or {}))),
            limits=LimitsConfig(**limits),
        )
        made.append(Arena(Server(config, tokens or Tokens(), tmp_path / f"data{len(made)}")))
        return await made[-1].up()

    yield start
    for each in made:
        await each.down()


@pytest.fixture
def corridor() -> type[Corridor]:
    return Corridor


@pytest.fixture
def as_frame() -> Callable[[dict[str, Any] | str], bytes]:
    """One message as the game sends it; a text goes as it is."""
    return frame
