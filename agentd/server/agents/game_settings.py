"""What an agent's configuration says to its games: curriculum, difficulty, the world (R19)."""

import asyncio
from collections.abc import Mapping

import msgspec

from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.facts import check_numbers
from agentd.server.agents.faults import as_protocol_errors
from agentd.server.agents.registry import Registry

MOST_SETTINGS = 256
"""Settings of one agent."""


async def change_settings(
    registry: Registry, name: str, values: Mapping[str, float]
) -> dict[str, float]:
    """Change some settings of an agent's games, durably, and tell every session of version 2.

    Returns all settings. Raises ProtocolError UNKNOWN_AGENT, BAD_CONFIG or STORAGE_FAILED.
    """
    check_numbers(values, Code.BAD_CONFIG)
    async with registry.lock(name):
        registry.facts(name)
        with as_protocol_errors():
            config = await asyncio.to_thread(registry.stored.config, name)
            game = {**config.game, **values}
            if len(game) > MOST_SETTINGS:
                want = f"at most {MOST_SETTINGS} settings in all"
                raise ProtocolError.unfit(Code.BAD_CONFIG, "values", want, str(len(game)))
            config = msgspec.structs.replace(config, game=game)
            await asyncio.to_thread(registry.stored.write_config, name, config)
        registry.apply_settings(name, game)
    return game
