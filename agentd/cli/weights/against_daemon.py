"""A running daemon's answers to the states of a probe."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.assembly.actions import codec_of
from agentd.client import FIRST, MID, TRUNCATED, Client
from agentd.config import AgentConfig
from agentd.errors import JobFailed
from agentd.export.probe import Probe
from agentd.protocol.schema import Schema

_STREAMS = 32


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
        sent = codec.gather(mask) if schema.n_actions else mask[:, :0]
        mask = codec.spread(sent) if schema.n_actions else np.ones_like(mask)
    q = np.empty_like(probe.q)
    said = np.empty((len(mask), schema.action_width), schema.action_dtype)
    looks = {t.name: (t.dtype, t.shape) for t in schema.tensors}, schema.to_wire()["action"]
    with Client.connect(
        address, name, *looks, role="eval", explain=True, streams=_STREAMS
    ) as client:
        for rows, over, stream in _turns(probe.first):
            kind = np.where(probe.first[rows], FIRST, MID)
            kind[:over] = TRUNCATED
            shown = sent[rows] if sent.size else None
            answer = client.step(_tensors(schema, probe.raw[rows]), 0.0, kind, stream, shown)
            assert answer.q is not None
            q[rows[over:]] = answer.q[over:]
            said[rows[over:]] = answer.actions.reshape(len(rows), -1)[over:]
            _require_version(answer.version, updates)
    chosen = said if codec is None else codec.decode(said)
    return replace(probe, q=q, mask=mask, action=chosen, played=chosen)


def _turns(first: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.int64], int, NDArray[np.int64]]]:
    """Yield the rows of each frame, how many of them only end an episode, and their streams.

    Each stream has whole episodes, one after the other.
    """
    episodes = np.flatnonzero(first)
    count = min(_STREAMS, len(episodes))
    begin = episodes[np.arange(count) * len(episodes) // count]
    end = np.append(begin[1:], len(first))
    for turn in range(int((end - begin).max())):
        stream = np.flatnonzero(begin + turn < end)
        rows = begin[stream] + turn
        over = np.flatnonzero(first[rows]) if turn else stream[:0]
        yield np.append(rows[over], rows), len(over), np.append(stream[over], stream)


def _tensors(schema: Schema, raw: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    parts = {t.name: raw[:, t.offset : t.offset + t.nbytes].copy() for t in schema.tensors}
    return {t.name: parts[t.name].view(t.dtype).reshape(-1, *t.shape) for t in schema.tensors}


def _require_version(version: int, updates: int) -> None:
    if version != updates:
        raise JobFailed(
            f"the daemon acts with the weights of update {version:,}, exported were those of "
            f"{updates:,}",
            hint="freeze the agent and save it, then export again",
        )
