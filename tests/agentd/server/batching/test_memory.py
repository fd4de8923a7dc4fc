"""What the server remembers for a network: zeroed, untouched, carried over, and the learner's."""

from typing import Any

import numpy as np
import pytest

from agentd.assembly.network import network_for
from agentd.assembly.rows import row_format
from agentd.config import ConfigError, agent_config_from_wire
from agentd.config.memory import remembering
from agentd.engine.network import Pass
from agentd.engine.numpy_backend import NumPyBackend
from agentd.memory.layout import RingLayout
from agentd.memory.mapped_file import RingMismatch
from agentd.memory.replay_ring import ReplayRing
from agentd.protocol import messages as m
from agentd.protocol.schema import Schema
from agentd.server.batching.stacks import Stacks

FIRST, MID, TERMINATED, TRUNCATED = 0, 1, 2, 3

AGENT: dict[str, Any] = {
    "learner": "dqn",
    "model": {"layers": [{"dense": 7}, "relu", {"gru": 6}]},
    "dqn": {"n_step": 2, "last_actions": 1, "sequences": {"batch": 4, "length": 6, "burn_in": 3}},
    "replay": {"capacity": 500},
    "pace": {"mode": "paced", "learn_start": 40, "train_every": 20, "updates": 2},
    "exploration": {"start": 0.3, "end": 0.3},
    "checkpoint": {"every_seconds": None},
}
DISCRETE = {"kind": "discrete", "n": 3}
PATIENT: dict[str, Any] = {"drain_s": 60.0, "heartbeat_s": 60.0}
STILL = AGENT | {"pace": {"mode": "paced", "learn_start": 400}, "dqn": {"frame_stack": 1}}


def values(act: Any) -> np.ndarray:
    assert isinstance(act, m.ActReply), act
    return np.frombuffer(act.q, "<f4").reshape(-1, 3)


def unroll(house: Any, x: np.ndarray) -> np.ndarray:
    """Return the values (T, A) of the rows x (T, D) of one stream, all of them in one pass."""
    agent = house.server.registry.loaded["a"]
    actor = agent.responder._actor
    run = Pass(actor.network, NumPyBackend(rowwise=True), len(x), times=len(x))
    return np.array(run.forward(actor.weights.copy(), x.astype(np.float32)))


async def test_served_values_are_unrolled_values_to_the_bit(serve):
    """Streams that come and go, beside rows of another session, on their own or with others."""
    house = await serve(STILL)
    train = await house.peer()
    await train.hello(streams=3, explain=True)
    play = await house.peer()
    await play.hello(role="play", streams=1, explain=True)
    rng = np.random.default_rng(0)
    shown: list[list[np.ndarray]] = [[], [], []]
    found: list[list[np.ndarray]] = [[], [], []]
    other_shown, other_found = [], []

    for t in range(24):
        streams = [s for s in range(3) if t == 0 or (t + s) % (s + 1) == 0]
        obs = rng.standard_normal((len(streams), 4)).astype(np.float32)
        q = values(await train.step([MID if t else FIRST] * len(streams), obs, stream=streams))
        for row, s in enumerate(streams):
            shown[s].append(obs[row])
            found[s].append(q[row])
        lone = rng.standard_normal((1, 4)).astype(np.float32)
        other_found.append(values(await play.step([MID if t else FIRST], lone))[0])
        other_shown.append(lone[0])

    for s in range(3):
        np.testing.assert_array_equal(unroll(house, np.array(shown[s])), np.array(found[s]))
    np.testing.assert_array_equal(unroll(house, np.array(other_shown)), np.array(other_found))
    ring = house.server.registry.loaded["a"].learning.ring
    assert ring.columns["memory"][: ring.head].any(axis=1).all()


async def test_a_first_row_forgets_also_behind_its_episode_s_end_in_one_frame(serve):
    house = await serve(STILL)
    peer = await house.peer()
    await peer.hello(streams=2, explain=True)
    x = np.random.default_rng(1).standard_normal((6, 4)).astype(np.float32)

    await peer.step([FIRST, FIRST], x[[0, 5]])
    await peer.step([MID], x[[1]], stream=[0])
    both = values(await peer.step([TRUNCATED, FIRST], x[[2, 3]], stream=[0, 0]))
    then = values(await peer.step([MID], x[[4]], stream=[0]))

    np.testing.assert_array_equal(both[0], unroll(house, x[:3])[2])
    np.testing.assert_array_equal(np.stack([both[1], then[0]]), unroll(house, x[3:5]))


async def test_a_repeated_or_refused_frame_leaves_it_as_it_is_and_a_resume_goes_on(serve):
    house = await serve(STILL)
    peer = await house.peer()
    session = (await peer.hello(streams=1, explain=True)).session
    x = np.random.default_rng(2).standard_normal((4, 4)).astype(np.float32)
    found = [values(await peer.step([FIRST], x[[0]])), values(await peer.step([MID], x[[1]]))]
    refused = await peer.step([MID], np.full((1, 4), np.nan))
    assert isinstance(refused, m.Error), refused
    await peer.close()

    peer = await house.peer()
    welcome = await peer.hello(streams=1, explain=True, resume=session)
    assert welcome.resumed
    assert welcome.last_seq == 3
    peer.seq = 1  # the second frame again
    again = values(await peer.step([MID], x[[1]]))
    assert isinstance(await peer.step([MID], np.full((1, 4), np.nan)), m.Error)
    found += [values(await peer.step([MID], x[[k]])) for k in (2, 3)]

    np.testing.assert_array_equal(again, found[1])
    np.testing.assert_array_equal(np.concatenate(found), unroll(house, x))


def test_the_ring_knows_what_was_remembered_when_the_process_is_gone(tmp_path):
    schema = Schema.from_wire({"x": {"dtype": "float32", "shape": [1]}}, DISCRETE)
    layout = RingLayout(4, 3, 1, "s", backwards=True, memory=2)
    ring = ReplayRing.open(tmp_path / "rows.ring", layout, 64, slack=32)
    stacks, rng = Stacks(row_format(schema), 2), np.random.default_rng(0)
    for t in range(50):  # goes around more than once
        stream = np.arange(3) if t % 5 else np.array([0, 2])
        kind = np.full(len(stream), MID if t % 7 else FIRST, np.uint8)
        obs, action = np.zeros((len(stream), 4), np.uint8), np.zeros((len(stream), 1), np.int32)
        stacks.push(stream, kind, obs)
        left = stacks.memory(stream, kind) + rng.random((len(stream), 2)).astype(np.float32)
        stacks.note(stream, action, left)
        reward = np.zeros(len(stream), np.float32)
        ring.append(obs, None, action, reward, kind, 0, stream, 1, t + 1, 1, memory=left)
    ring.close()

    again = ReplayRing.open(tmp_path / "rows.ring", layout, 64, slack=32)
    known = Stacks(row_format(schema), 2)
    known.grow(100)  # as more sessions come
    known.restore(again, 0, 4, session=1)

    every, mid = np.arange(4), np.full(4, MID, np.uint8)
    np.testing.assert_array_equal(known.memory(every, mid), stacks.memory(every, mid))
    assert known.memory(every, mid)[:3].all()
    with pytest.raises(RingMismatch, match="memory"):
        ReplayRing.open(tmp_path / "rows.ring", RingLayout(4, 3, 1, "s", backwards=True), 64)


async def answers(serve: Any, data_dir: Any, restarts: tuple[int, ...]) -> list[tuple[bytes, ...]]:
    """What 70 frames of two streams were answered; the daemon is restarted before some of them."""
    house = await serve(AGENT, data_dir=data_dir, **PATIENT)
    peer, found = await house.peer(), []
    session = (await peer.hello(streams=2, explain=True)).session
    rng = np.random.default_rng(0)
    for turn in range(70):
        if turn in restarts:
            await house.down()
            house = await serve(AGENT, data_dir=data_dir, **PATIENT)
            peer = await house.peer()
            assert (await peer.hello(streams=2, explain=True, resume=session)).resumed
        kind = [FIRST, FIRST] if turn in (0, 35) else [MID, MID]
        if turn == 34:
            kind = [TERMINATED, TRUNCATED]
        await peer.say(peer.frame(kind, rng.standard_normal((2, 4)), rng.random(2)))
        act = await peer.hear(60.0)
        assert isinstance(act, m.ActReply), act
        found.append((bytes(act.action), bytes(act.explored), bytes(act.q), act.version))
    await house.down()
    return found


async def test_through_restarts_server_and_learner_go_on_bit_for_bit(serve, tmp_path):
    whole = await answers(serve, tmp_path / "whole", ())
    parts = await answers(serve, tmp_path / "parts", (23, 51))

    assert whole == parts
    assert whole[-1][-1] >= 8  # updates were made


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"learner": "stream_q", "pace": {"train_every": 1}},
            "`gru` remembers .* learner stream_q has no sequences",
        ),
        ({"learner": "supervised"}, "learner supervised has no sequences"),
        ({"replay": {"capacity": 40}, "pace": {"learn_start": 9}}, "a sequence of 53 rows: more"),
        ({"dqn": {"distribution": "implicit"}}, "no dqn.distribution implicit with it"),
        ({"dqn": {"noisy": True}}, "no dqn.noisy with it"),
        ({"exploration": {"kind": "noisy"}}, "no exploration.kind noisy with it"),
    ],
)
def test_what_cannot_go_together_is_refused_by_name(changes, said):
    with pytest.raises(ConfigError, match=said):
        agent_config_from_wire({"model": {"layers": [{"dense": 8}, {"gru": 8}]}} | changes)


def test_a_recurrent_layer_behind_reshape_reads_one_row_and_remembers_nothing(hello):
    schema = Schema.from_wire(hello.observation, hello.action)
    layers = [{"reshape": [2, 2]}, {"gru": 8}]
    for learner in ("dqn", "supervised"):
        config = agent_config_from_wire({"learner": learner, "model": {"layers": layers}})
        assert network_for(config, schema).memory == ()


@pytest.mark.parametrize(
    ("behind", "remembers"),
    [
        ([{"gru": 8}, {"lstm": 8}], True),  # the first gives the sequence's last output: a row
        ([{"gru": {"units": 8, "sequence": True}}, {"lstm": 8}], False),
        (["flatten", {"gru": 8}], True),
        ([{"gru": 8}, "relu", {"sequential": [{"dense": 4}, {"rnn": 4}]}], True),
    ],
)
def test_a_second_recurrent_layer_remembers_where_there_are_rows_again(hello, behind, remembers):
    schema = Schema.from_wire(hello.observation, hello.action)
    model = {"layers": [{"reshape": [2, 2]}, *behind]}

    config = agent_config_from_wire({"model": model})
    assert bool(network_for(config, schema).memory) == bool(remembering(config.model.layers))
    assert bool(remembering(config.model.layers)) == remembers
