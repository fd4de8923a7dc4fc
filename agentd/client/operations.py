"""The operations of R11, R19 and R20 as methods, once for each kind of client."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, TypeVar

from agentd.client.choices import Actions
from agentd.client.errors import ClientError
from agentd.client.session import Reply
from agentd.client.settings import Observation, read_schema
from agentd.protocol import messages as m
from agentd.protocol.errors import Code, ProtocolError

R = TypeVar("R", bound=m.ServerMessage)


def expect(reply: Reply, kind: type[R]) -> R:
    """Return ``reply`` when it is of ``kind``; raise it when it is a refusal."""
    if isinstance(reply, kind):
        return reply
    if isinstance(reply, ClientError):
        raise reply
    raise ProtocolError(Code.UNEXPECTED_MESSAGE, f"want {kind.__name__} in reply, got {reply!r}")


class Operations(ABC):
    """What an admin may ask; each method waits for the reply.

    Every method raises OperationRefused when the server refuses, Unreachable when it stays away,
    and OutcomeUnknown when the connection broke on the way (``agents``, ``info``, ``save``,
    ``freeze``, ``stats``, ``change_settings`` and ``explore`` are asked again instead).
    ServerTooOld where the server does not know what protocol 2 has: ``change_settings``, ``reset``,
    ``explore``, ``copy``, ``migrate``.
    """

    @abstractmethod
    def operate(self, operation: m.Operation) -> Reply:
        """Send ``operation`` and return its reply, a refusal included."""

    def agents(self) -> list[dict[str, Any]]:
        """Return the short facts of every agent."""
        return expect(self.operate(m.Agents()), m.AgentsReply).agents

    def info(self, agent: str) -> dict[str, Any]:
        """Return an agent's schema, configuration and checkpoints."""
        return expect(self.operate(m.Info(agent=agent)), m.InfoReply).info

    def create(self, agent: str, config: dict[str, Any]) -> None:
        """Make an agent from a configuration."""
        expect(self.operate(m.Create(agent=agent, config=config)), m.Created)

    def save(self, agent: str) -> m.Saved:
        """Write a checkpoint; it is on disk, synced and checked when this returns."""
        return expect(self.operate(m.Save(agent=agent)), m.Saved)

    def load(self, agent: str, checkpoint: str) -> m.Loaded:
        """Send an agent back to one of its checkpoints."""
        return expect(self.operate(m.Load(agent=agent, checkpoint=checkpoint)), m.Loaded)

    def unload(self, agent: str) -> None:
        """Save an agent and drop it from memory."""
        expect(self.operate(m.Unload(agent=agent)), m.Unloaded)

    def delete(self, agent: str) -> None:
        """Remove an agent and its files."""
        expect(self.operate(m.Delete(agent=agent)), m.Deleted)

    def freeze(self, agent: str, on: bool = True) -> None:
        """Stop an agent's learning, or let it go on."""
        expect(self.operate(m.Freeze(agent=agent, on=on)), m.Frozen)

    def change_settings(self, agent: str, values: Mapping[str, float]) -> dict[str, float]:
        """Change some of an agent's settings for its games, who hear of it; return all of them."""
        asked = m.Settings(agent=agent, values=dict(values))
        return expect(self.operate(asked), m.GameSettings).values

    def reset(self, agent: str, *, keep_weights: bool = False) -> str | None:
        """Begin an agent anew, or only empty its replay; the checkpoint of what it knew before."""
        keep: m.Keep = "weights" if keep_weights else "nothing"
        return expect(self.operate(m.Reset(agent=agent, keep=keep)), m.WasReset).checkpoint

    def explore(
        self, agent: str, value: float | None = None, *, again: bool = False
    ) -> m.ExploringReply:
        """Explore by ``value``, by the schedule begun ``again``, or else by the schedule."""
        asked = m.Explore(agent=agent, value=value, again=again)
        return expect(self.operate(asked), m.ExploringReply)

    def copy(self, agent: str, to: str, *, replay: bool = False) -> m.Copied:
        """Make an agent ``to`` that knows what ``agent`` knows, its rows too with ``replay``."""
        return expect(self.operate(m.Copy(agent=agent, to=to, replay=replay)), m.Copied)

    def migrate(
        self, agent: str, to: str, observation: Observation, actions: Actions
    ) -> m.Migrated:
        """Make an agent ``to`` of another schema whose network keeps what fits of ``agent``'s.

        ``observation`` and ``actions`` are those of ``connect``. Raises ValueError where they are
        none.
        """
        wire = read_schema(observation, actions).to_wire()
        return expect(self.operate(m.Migrate(agent=agent, to=to, **wire)), m.Migrated)

    def stats(self, agent: str | None = None) -> m.StatsReply:
        """Return the counters of the server and of one agent or all."""
        return expect(self.operate(m.Stats(agent=agent)), m.StatsReply)


class AsyncOperations(ABC):
    """As ``Operations``, to be awaited."""

    @abstractmethod
    async def operate(self, operation: m.Operation) -> Reply:
        """Send ``operation`` and return its reply, a refusal included."""

    async def agents(self) -> list[dict[str, Any]]:
        """Return the short facts of every agent."""
        return expect(await self.operate(m.Agents()), m.AgentsReply).agents

    async def info(self, agent: str) -> dict[str, Any]:
        """Return an agent's schema, configuration and checkpoints."""
        return expect(await self.operate(m.Info(agent=agent)), m.InfoReply).info

    async def create(self, agent: str, config: dict[str, Any]) -> None:
        """Make an agent from a configuration."""
        expect(await self.operate(m.Create(agent=agent, config=config)), m.Created)

    async def save(self, agent: str) -> m.Saved:
        """Write a checkpoint; it is on disk, synced and checked when this returns."""
        return expect(await self.operate(m.Save(agent=agent)), m.Saved)

    async def load(self, agent: str, checkpoint: str) -> m.Loaded:
        """Send an agent back to one of its checkpoints."""
        return expect(await self.operate(m.Load(agent=agent, checkpoint=checkpoint)), m.Loaded)

    async def unload(self, agent: str) -> None:
        """Save an agent and drop it from memory."""
        expect(await self.operate(m.Unload(agent=agent)), m.Unloaded)

    async def delete(self, agent: str) -> None:
        """Remove an agent and its files."""
        expect(await self.operate(m.Delete(agent=agent)), m.Deleted)

    async def freeze(self, agent: str, on: bool = True) -> None:
        """Stop an agent's learning, or let it go on."""
        expect(await self.operate(m.Freeze(agent=agent, on=on)), m.Frozen)

    async def change_settings(self, agent: str, values: Mapping[str, float]) -> dict[str, float]:
        """Change some of an agent's settings for its games, who hear of it; return all of them."""
        asked = m.Settings(agent=agent, values=dict(values))
        return expect(await self.operate(asked), m.GameSettings).values

    async def reset(self, agent: str, *, keep_weights: bool = False) -> str | None:
        """Begin an agent anew, or only empty its replay; the checkpoint of what it knew before."""
        keep: m.Keep = "weights" if keep_weights else "nothing"
        return expect(await self.operate(m.Reset(agent=agent, keep=keep)), m.WasReset).checkpoint

    async def explore(
        self, agent: str, value: float | None = None, *, again: bool = False
    ) -> m.ExploringReply:
        """Explore by ``value``, by the schedule begun ``again``, or else by the schedule."""
        asked = m.Explore(agent=agent, value=value, again=again)
        return expect(await self.operate(asked), m.ExploringReply)

    async def copy(self, agent: str, to: str, *, replay: bool = False) -> m.Copied:
        """Make an agent ``to`` that knows what ``agent`` knows, its rows too with ``replay``."""
        return expect(await self.operate(m.Copy(agent=agent, to=to, replay=replay)), m.Copied)

    async def migrate(
        self, agent: str, to: str, observation: Observation, actions: Actions
    ) -> m.Migrated:
        """Make an agent ``to`` of another schema whose network keeps what fits of ``agent``'s.

        ``observation`` and ``actions`` are those of ``connect``. Raises ValueError where they are
        none.
        """
        wire = read_schema(observation, actions).to_wire()
        return expect(await self.operate(m.Migrate(agent=agent, to=to, **wire)), m.Migrated)

    async def stats(self, agent: str | None = None) -> m.StatsReply:
        """Return the counters of the server and of one agent or all."""
        return expect(await self.operate(m.Stats(agent=agent)), m.StatsReply)
