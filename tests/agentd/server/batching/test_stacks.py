"""Stacks of rows: what is acted on is what is learned from; images and branches as well."""

import asyncio

import numpy as np
import pytest

from agentd.assembly.network import network_for
from agentd.assembly.rows import row_format
from agentd.engine.replay.transitions import observations
from agentd.memory.layout import RingLayout
from agentd.memory.replay_ring import ReplayRing
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

BRANCHES = Schema.from_wire(
    {"x": {"dtype": "float32", "shape": [2]}}, {"kind": "multi_discrete", "n": [2, 3]}
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


@pytest.mark.parametrize("schema", [IMAGE, FLAT, BRANCHES], ids=["image", "flat", "branches"])
@pytest.mark.parametrize(("stack", "last"), [(2, 0), (4, 0), (1, 1), (1, 5), (3, 2), (2, 7)])
def test_what_is_acted_on_is_what_is_learned_from(tmp_path, schema, stack, last):
    """Also where something else was played than was answered: the ring holds what was played."""
    format = row_format(schema, stack, last)
    rng, stacks, begun = np.random.default_rng(stack), Stacks(format), set()
    branches = len(schema.branches)
    layout = RingLayout(schema.row_bytes, schema.n_actions, branches, "s", backwards=True)
    ring = ReplayRing.open(tmp_path / "rows.ring", layout, 512, slack=64)
    acted = []
    for _ in range(60):
        stream, kind, obs, _ = random_rows(rng, schema, begun, int(rng.integers(1, 6)))
        n = len(kind)
        action = rng.integers(0, schema.branches, (n, branches)).astype(np.int32)
        action[kind >= TERMINATED] = -1
        over = (kind != FIRST) & (rng.random(n) < 0.3)
        taken = rng.integers(0, schema.branches, (n, branches)).astype(np.int32)[over]
        ring.columns["action"][ring._last[stream[over]] % ring.physical] = taken
        stacks.overrule(stream[over], taken)
        ring.append(obs, None, action, np.zeros(n, np.float32), kind, 0, stream, 1, 1, 1)
        x = np.empty((n, format.features), np.float32)
        format.decode(*flipped(stacks.push(stream, kind, obs), x))
        stacks.note(stream, action)
        # A row that ended, and whose stream began again in its frame, has no action to explain.
        acted.append(x)

    reader = ReplayRingReader(tmp_path / "rows.ring", format)
    learned = observations(reader.rows(ring.head), np.arange(ring.head))

    np.testing.assert_array_equal(np.concatenate(acted), learned)
    assert not last or (learned[:, -schema.n_actions :] == 1).any()
    open_streams = ring.under_way(0, 6)
    newest = ring.recent(0, 6, stack - 1)
    np.testing.assert_array_equal(newest[open_streams], stacks._rows[:6][open_streams])
    row = ring.newest(0, 6, 1, last)[:, ::-1]
    played = np.where(row[..., None] < 0, -1, ring.columns["action"][row % ring.physical])
    np.testing.assert_array_equal(played[open_streams], stacks._played[:6][open_streams])


def flipped(pushed, x):
    rows, played = pushed
    return rows, x, played


def test_the_last_actions_follow_the_rows_oldest_first_and_one_hot_by_branch():
    format = row_format(BRANCHES, last_actions=2)
    raw = np.array([[1.5, -2.0]], "<f4").view(np.uint8)
    x = np.empty((2, format.features), np.float32)

    format.decode(np.repeat(raw, 2, axis=0), x, np.array([[[-1, -1], [1, 2]], [[0, 0], [1, 1]]]))

    assert format.input_shape == (2 + 2 * 5,)
    assert x[0].tolist() == [1.5, -2, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1]
    assert x[1].tolist() == [1.5, -2, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0]


def test_beside_an_image_the_last_actions_are_planes():
    format = row_format(IMAGE, 2, last_actions=1)
    raw = np.arange(24, dtype=np.uint8).reshape(2, 12)
    x = np.empty((1, format.features), np.float32)

    format.decode(raw, x, np.array([[[2]]]))

    image = x.reshape(format.input_shape)
    older, newer = raw.reshape(2, 2, 3, 2)
    np.testing.assert_array_equal(image[..., :4], np.concatenate([older, newer], axis=2))
    assert (image[..., 4:] == [0, 0, 1]).all()


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


LAST = {
    "learner": "dqn",
    "model": {"layers": [{"dense": 8}, "relu"]},
    "dqn": {"batch": 8, "last_actions": 2},
    "pace": {"mode": "paced", "learn_start": 1000},
}


async def test_sessions_that_do_not_learn_have_the_last_actions_too(serve):
    house, values = await serve(LAST), []
    for role in ("eval", "play"):
        peer = await house.peer()
        await peer.hello(role=role, streams=1, explain=True)
        kinds = (FIRST, MID, MID, MID, TERMINATED, FIRST)
        acts = [await peer.step([kind], np.ones((1, 4))) for kind in kinds]
        values.append([bytes(act.q) for act in acts])

    eval_q, play_q = values
    assert eval_q == play_q
    assert len(set(eval_q[:3])) == 3  # no action, one, two
    assert eval_q[5] == eval_q[0] != eval_q[4]


def test_a_branching_dueling_head_has_a_mean_for_each_branch():
    schema = Schema.from_wire(
        {"x": {"dtype": "float32", "shape": [4]}}, {"kind": "multi_discrete", "n": [2, 3]}
    )
    from agentd.config import agent_config_from_wire

    config = agent_config_from_wire({"model": {"layers": [], "dueling": True}})

    network = network_for(config, schema)

    assert network.root.layers[-1].branches == (2, 3)
