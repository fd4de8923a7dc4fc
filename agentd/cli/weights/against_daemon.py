"""A running daemon's answers to the states of a probe."""

from dataclasses import replace
from typing import Any

import numpy as np

from agentd.assembly.actions import codec_of
from agentd.client import FIRST, MID, TRUNCATED, Client
from agentd.config import AgentConfig
from agentd.errors import JobFailed
from agentd.export.probe import Probe
from agentd.protocol.schema import Schema


def ask_daemon(
    address: str, agent: tuple[str, AgentConfig, Schema], probe: Probe, updates: int
) -> Probe:
    """Return the probe with the daemon's greedy answers instead of the engine's.

    They are also what was played in it. Masks are those that a game can send. Raises JobFailed
    where the daemon acts with other weights than those that were exported, and what
    ``Client.connect`` raises.
    """
    name, config, schema = agent
    codec = codec_of(config, schema)
    mask, sent = probe.mask, probe.mask
    if codec is not None:
        sent = codec.gather(mask)
        mask = codec.spread(sent) if schema.n_actions else np.ones_like(mask)
    said, q = (
        np.empty((len(mask), schema.action_width), schema.action_dtype),
        np.empty_like(probe.q),
    )
    with Client.connect(address, name, *_looks(schema), role="eval", explain=True) as client:
        for i in range(len(mask)):
            obs = {
                t.name: probe.raw[i, t.offset : t.offset + t.nbytes].view(t.dtype).reshape(t.shape)
                for t in schema.tensors
            }
            if probe.first[i] and i:
                client.step(obs, 0.0, TRUNCATED)
            kind = FIRST if probe.first[i] else MID
            answer = client.step(obs, 0.0, kind, mask=sent[i : i + 1] if sent.size else None)
            assert answer.q is not None
            q[i], said[i] = answer.q[0], answer.actions[0]
            if answer.version != updates:
                raise JobFailed(
                    f"the daemon acts with the weights of update {answer.version:,}, exported were "
                    f"those of {updates:,}",
                    hint="freeze the agent and save it, then export again",
                )
    chosen = said if codec is None else codec.decode(said)
    return replace(probe, q=q, mask=mask, action=chosen, played=chosen)


def _looks(schema: Schema) -> tuple[dict[str, Any], Any]:
    observation = {t.name: (t.dtype, t.shape) for t in schema.tensors}
    return observation, schema.to_wire()["action"]
