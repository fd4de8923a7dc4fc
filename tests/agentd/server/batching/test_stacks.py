"""Stacks of rows: what is acted on is what is learned from; images and branches as well."""

import asyncio

import numpy as np
import pytest

from agentd.assembly.network import network_for
from agentd.assembly.rows import row_format
from agentd.engine.replay.transitions import observations
from agentd.memory.replay_ring import ReplayRing, RingLayout
from agentd.memory.ring_reader import ReplayRingReader
from agentd.protocol import messages as m
from agentd.protocol.schema import Schema
from agentd.server.batching.stacks import Stacks

FIRST, MID, TERMINATED, TRUNCATED = 0, 1, 2, 3
IMAGE = Schema.from_wire(
    {"x": {"dtype": "uint8", "shape": [2, 3, 2]}}, {"kind": "discrete", "n": 3}
)
FLAT = Schema.from_wire(
    {"a": {"dtype": "int8", "shape": [3]}, "b": {"dtype": "float32", "shape": [2]}},
    {"kind": "discrete", "n": 3},
)


def random_rows(rng, schema, begun, size):
    """Rows of random streams; one that ends may begin again in the same batch."""
    streams, kinds = [], []
    for stream in rng.permutation(6)[:size].tolist():
        kind = FIRST if stream not in begun else int(rng.choice([MID, MID, MID, TERMINATED]))
        begun.add(stream)
        streams.append(stream)
        kinds.append(kind)
        if kind == TERMINATED:
            begun.discard(stream)
            if rng.random() < 0.5:
                begun.add(stream)
                streams.append(stream)
                kinds.append(FIRST)
    n = len(kinds)
    obs = rng.integers(0, 100, (n, schema.row_bytes), np.uint8)
    action = np.where(np.array(kinds) >= TERMINATED, -1, 0).astype(np.int32)[:, None]
    return np.array(streams), np.array(kinds, np.uint8), obs, action


@pytest.mark.parametrize("schema", [IMAGE, FLAT], ids=["image", "flat"])
@pytest.mark.parametrize("stack", [2, 4])
def test_what_is_acted_on_is_what_is_learned_from(tmp_path, schema, stack):
    rng, stacks, begun = np.random.default_rng(stack), Stacks(stack, schema.row_bytes), set()
    layout = RingLayout(schema.row_bytes, 3, 1, "s", backwards=True)
    ring = ReplayRing.open(tmp_path / "rows.ring", layout, 512, slack=64)
    format = row_format(schema, stack)
    acted = []
    for _ in range(60):
        stream, kind, obs, action = random_rows(rng, schema, begun, int(rng.integers(1, 6)))
        n = len(kind)
        ring.append(obs, None, action, np.zeros(n, np.float32), kind, 0, stream, 1, 1, 1)
        x = np.empty((n, format.features), np.float32)
        format.decode(stacks.push(stream, kind, obs), x)
        # A row that ended, and whose stream began again in its frame, has no action to explain.
        acted.append(x)

    reader = ReplayRingReader(tmp_path / "rows.ring", format)
    learned = observations(reader.rows(ring.head), np.arange(ring.head))

    np.testing.assert_array_equal(np.concatenate(acted), learned)
    open_streams = ring.under_way(0, 6)
    newest = ring.recent(0, 6, stack - 1)
    np.testing.assert_array_equal(newest[open_streams], stacks._rows[:6][open_streams])


def test_an_image_is_stacked_by_channels():
    format = row_format(IMAGE, 2)
    raw = np.arange(24, dtype=np.uint8).reshape(2, 12)
    x = np.empty((1, 24), np.float32)

    format.decode(raw, x)

    assert format.input_shape == (2, 3, 4)
    older, newer = raw.reshape(2, 2, 3, 2)
    np.testing.assert_array_equal(
        x.reshape(2, 3, 4), np.concatenate([older, newer], axis=2).astype(np.float32)
    )


IMAGES = {
    "learner": "dqn",
    "model": {
        "layers": ["scale", {"conv2d": {"channels": 4, "kernel": 3}}, "relu", "flatten"],
        "dueling": True,
    },
    "dqn": {"batch": 8, "frame_stack": 2, "prioritized": True, "distribution": "quantile"},
    "replay": {"capacity": 500},
    "pace": {"mode": "paced", "learn_start": 32, "train_every": 16, "updates": 2},
    "checkpoint": {"every_seconds": None},
}


async def test_stacked_images_and_branches_learn_through_the_daemon(serve):
    """The reward is for the action that a byte of the image names, in each branch."""
    peer = await (await serve(IMAGES)).peer()
    await peer.hello(
        observation={"x": {"dtype": "uint8", "shape": [5, 5, 1]}},
        action={"kind": "multi_discrete", "n": [2, 3]},
        streams=4,
        explain=True,
    )
    rng, version = np.random.default_rng(0), 0
    for turn in range(40):
        step = m.Step(
            seq=turn + 1,
            stream=np.arange(4, dtype="<u4").tobytes(),
            kind=bytes([FIRST if turn == 0 else MID] * 4),
            reward=rng.random(4).astype("<f4").tobytes(),
            obs={"x": rng.integers(0, 256, (4, 5, 5, 1), np.uint8).tobytes()},
        )
        await peer.say(step)
        act = await peer.hear(30.0)
        assert isinstance(act, m.ActReply), act
        action = np.frombuffer(act.action, "<i4").reshape(4, 2)
        assert ((action >= 0) & (action < [2, 3])).all()
        q = np.frombuffer(act.q, "<f4").reshape(4, 5)
        assert np.isfinite(q).all()
        version = act.version
        await asyncio.sleep(0)

    assert version >= 12


def test_a_branching_dueling_head_has_a_mean_for_each_branch():
    schema = Schema.from_wire(
        {"x": {"dtype": "float32", "shape": [4]}}, {"kind": "multi_discrete", "n": [2, 3]}
    )
    from agentd.config import agent_config_from_wire

    config = agent_config_from_wire({"model": {"layers": [], "dueling": True}})

    network = network_for(config, schema)

    assert network.root.layers[-1].branches == (2, 3)
