"""A running daemon's answers to the states of a probe."""

from dataclasses import replace

import numpy as np

from agentd.client import FIRST, MID, TRUNCATED, Client
from agentd.errors import JobFailed, UsageError
from agentd.export.probe import Probe
from agentd.protocol.schema import Schema


def ask_daemon(address: str, agent: str, schema: Schema, probe: Probe, updates: int) -> Probe:
    """Return the probe with the daemon's greedy answers instead of the engine's.

    Raises UsageError for agents that see their last actions, JobFailed where the daemon acts with
    other weights than those that were exported, and what ``Client.connect`` raises.
    """
    if probe.format.last_actions:
        raise UsageError("--connect: this agent sees its last actions; use --check without it")
    observation = {t.name: (t.dtype, t.shape) for t in schema.tensors}
    one = schema.kind == "discrete"
    actions = schema.branches[0] if one else list(schema.branches)
    q, chosen = np.empty_like(probe.q), np.empty_like(probe.action)
    with Client.connect(address, agent, observation, actions, role="eval", explain=True) as client:
        for i in range(len(probe.raw)):
            obs = {
                t.name: probe.raw[i, t.offset : t.offset + t.nbytes].view(t.dtype).reshape(t.shape)
                for t in schema.tensors
            }
            if probe.first[i] and i:
                client.step(obs, 0.0, TRUNCATED)
            kind = FIRST if probe.first[i] else MID
            answer = client.step(obs, 0.0, kind, mask=probe.mask[i : i + 1])
            assert answer.q is not None
            q[i], chosen[i] = answer.q[0], answer.actions[0]
            if answer.version != updates:
                raise JobFailed(
                    f"the daemon acts with the weights of update {answer.version:,}, exported were "
                    f"those of {updates:,}",
                    hint="freeze the agent and save it, then export again",
                )
    return replace(probe, q=q, action=chosen)
