"""Held actions: alone or together the same, the schedule's share of rows, and through a restart."""

import numpy as np
import pytest

from agentd.engine.layers import Dense
from agentd.engine.network import Network
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.rules.exploration import ExplorationConfig
from agentd.memory.layout import RingLayout
from agentd.memory.played import EXPLORED, HELD
from agentd.memory.replay_ring import ReplayRing
from agentd.protocol import messages as m
from agentd.protocol.schema import Schema
from agentd.server.batching.actor import Actor

FIRST, MID, TERMINATED = 0, 1, 2


def make_actor(hold=10, epsilon=0.3, branches=(5,), spread=0.0) -> Actor:
    kind = {"kind": "discrete", "n": branches[0]}
    if len(branches) > 1:
        kind = {"kind": "multi_discrete", "n": list(branches)}
    schema = Schema.from_wire({"x": {"dtype": "float32", "shape": [3]}}, kind)
    network = Network(Dense(sum(branches)), input_shape=(3,))
    exploration = ExplorationConfig(start=epsilon, end=epsilon, hold=hold, spread=spread)
    actor = Actor(schema, network, NumPyBackend(), exploration, seed=3, capacity=256)
    actor.weights[:] = network.init(np.random.default_rng(0))
    actor.publish(7)
    return actor


def act(actor, kind, slot, first_row, mask=None, learned=None):
    """Choose for rows of zeros; of each stream the number is its slot."""
    n, slot = len(kind), np.asarray(slot)
    obs, kinds = np.zeros((n, 12), np.uint8), np.array(kind, np.uint8)
    stream = slot if actor.needs_streams else None
    learned = n if learned is None else learned
    return actor.act(obs, mask, kinds, stream, 8, learned, first_row, 0, slot=slot)


def play(actor, rows, kinds=lambda t: MID if t else FIRST):
    """One stream's actions and bits, (rows,) each."""
    choices = [act(actor, [kinds(t)], [0], t) for t in range(rows)]
    action = np.array([c.action[0, 0] for c in choices])
    return action, np.array([c.explored[0] for c in choices])


@pytest.mark.parametrize("branches", [(5,), (2, 3)])
@pytest.mark.parametrize("spread", [0.0, 2.0])
@pytest.mark.parametrize("masked", [False, True])
def test_alone_or_together_a_row_gets_the_same_answer(branches, spread, masked):
    together, alone = (make_actor(branches=branches, spread=spread) for _ in range(2))
    rng, row, held = np.random.default_rng(0), 0, 0
    for t in range(300):
        slot = rng.permutation(8)[: rng.integers(1, 9)] if t else np.arange(8)
        kind = rng.choice([MID, MID, MID, FIRST], len(slot)) if t else np.zeros(8, int)
        if rng.random() < 0.2:  # one of them ends and begins again in the same frame
            slot, kind = np.append(slot, slot[0]), np.append(kind, FIRST)
            kind[0] = TERMINATED
        mask = None
        if masked:
            mask = (rng.random((len(slot), sum(branches))) < 0.6).astype(np.uint8)
            mask[:, [0, sum(branches) - 1]] = 1

        many = act(together, kind, slot, row, mask)
        for i in range(len(slot)):
            own = None if mask is None else mask[i : i + 1]
            one = act(alone, kind[i : i + 1], slot[i : i + 1], row + i, own)
            np.testing.assert_array_equal(one.action[0], many.action[i])
            assert one.explored[0] == many.explored[i]
        if mask is not None:
            at = many.action + np.cumsum((0, *branches[:-1]))
            playing = kind < TERMINATED
            assert np.take_along_axis(mask[playing], at[playing], 1).all()
        row += len(slot)
        held += np.count_nonzero(many.explored & HELD)
    assert held > 20


@pytest.mark.parametrize("epsilon", [0.05, 0.5])
@pytest.mark.parametrize("hold", [3, 30])
def test_the_share_of_rows_that_explore_is_epsilon(epsilon, hold):
    actor, many = make_actor(hold, epsilon), np.arange(40)
    kinds = ([MID if t else FIRST] * len(many) for t in range(500))

    choices = [act(actor, kind, many, len(many) * t) for t, kind in enumerate(kinds)]

    bits = np.array([c.explored for c in choices]).T.ravel()  # one stream after the other
    assert np.mean(bits & EXPLORED) == pytest.approx(epsilon, rel=0.12)
    begun = np.flatnonzero(bits == EXPLORED)
    lengths = np.array(
        [np.argmax(np.append(bits[b + 1 :], 0) != EXPLORED | HELD) + 1 for b in begun]
    )
    assert hold / 2 < lengths.max() <= hold
    wanted = 1 / np.sum(np.arange(1, hold + 1) ** -2.0)
    assert np.mean(lengths == 1) == pytest.approx(wanted, rel=0.1)
    assert np.mean(lengths == 2) == pytest.approx(wanted / 4, rel=0.3)


def test_what_is_held_is_one_action_and_greedy_rows_lie_between():
    action, bits = play(make_actor(20, 0.5), 2_000)

    held = np.flatnonzero(bits & HELD)
    assert len(held) > 200
    np.testing.assert_array_equal(action[held], action[held - 1])
    assert (bits[held - 1] & EXPLORED).all()


def test_only_rows_that_learn_explore_and_a_hold_ends_with_its_episode():
    actor = make_actor(1_000, 1.0)

    greedy = act(actor, [FIRST], [0], 0, learned=0)
    kinds = play(actor, 500, lambda t: FIRST if t % 5 == 0 else MID)[1][::5]

    assert greedy.explored.tolist() == [0]
    assert (kinds == EXPLORED).all()


def test_a_hold_of_one_row_is_plain_epsilon_greedy():
    one, none = (play(make_actor(hold, 0.3), 2_000) for hold in (1, 0))

    np.testing.assert_array_equal(one, none)


def test_who_takes_over_ends_the_hold():
    actor = make_actor(1_000, 1.0)
    bits = []
    for t in range(300):
        bits.append(act(actor, [MID if t else FIRST], [0], t).explored[0])
        actor.holds.release(np.array([0]))

    assert set(bits) == {EXPLORED}


def test_what_is_held_is_found_in_the_ring_again(tmp_path):
    ring = ReplayRing.open(tmp_path / "rows.ring", RingLayout(12, 5, 1, "s"), 128, slack=32)
    actor, rng = make_actor(25, 0.8), np.random.default_rng(1)
    going = 0
    for t in range(400):
        kind = rng.choice([MID, MID, MID, MID, FIRST], 4) if t else np.zeros(4, int)
        kind = kind.astype(np.uint8)
        choice = act(actor, kind, np.arange(4), ring.head)
        obs, zeros = np.zeros((4, 12), np.uint8), np.zeros(4, np.float32)
        args = (choice.action, zeros, kind, choice.explored, np.arange(4))
        ring.append(obs, None, *args, 9, t, 1)
        if t % 3 == 0:  # as if the server had been restarted
            left = actor.holds._left[:4].copy()
            actor = make_actor(25, 0.8)
            actor.holds.restore(ring, 0, 4, 9)
            np.testing.assert_array_equal(actor.holds._left[:4], left)
            going += np.count_nonzero(left)
    assert going > 100


AGENT = {
    "learner": "dqn",
    "model": {"layers": [{"dense": 8}, "relu"]},
    "dqn": {"batch": 8, "last_actions": 3, "frame_stack": 2},
    "replay": {"capacity": 500},
    "pace": {"mode": "paced", "learn_start": 40, "train_every": 20, "updates": 2},
    "exploration": {"start": 0.5, "end": 0.5, "hold": 20},
    "checkpoint": {"every_seconds": None},
}


async def answers(serve, data_dir, restarts) -> list[tuple[bytes, ...]]:
    """What 70 frames of two streams were answered; the daemon is restarted before some of them."""
    house = await serve(AGENT, data_dir=data_dir)
    peer, found = await house.peer(), []
    session = (await peer.hello(streams=2, explain=True)).session
    rng = np.random.default_rng(0)
    for turn in range(70):
        if turn in restarts:
            await house.down()
            house = await serve(AGENT, data_dir=data_dir)
            peer = await house.peer()
            assert (await peer.hello(streams=2, explain=True, resume=session)).resumed
        kind = [FIRST, FIRST] if turn in (0, 35) else [MID, MID]
        if turn == 34:
            kind = [TERMINATED, TERMINATED]
        act = await peer.step(kind, rng.standard_normal((2, 4)), rng.random(2))
        assert isinstance(act, m.ActReply), act
        found.append((bytes(act.action), bytes(act.explored), bytes(act.q)))
    await house.down()
    return found


async def test_through_restarts_a_paced_agent_answers_bit_for_bit_the_same(serve, tmp_path):
    whole = await answers(serve, tmp_path / "whole", ())
    parts = await answers(serve, tmp_path / "parts", (23, 51))

    assert whole == parts
    assert {byte for _, explored, _ in whole for byte in explored} == {0, 1}


async def test_what_was_really_played_is_in_the_next_input_and_a_person_ends_the_hold(serve):
    agent = AGENT | {"exploration": {"start": 1.0, "end": 1.0, "hold": 1000}}
    agent |= {"replay": {"capacity": 1_000}, "pace": {"learn_start": 1_000}}
    agent["dqn"] = {"batch": 8, "last_actions": 1}
    house = await serve(agent)
    peer = await house.peer()
    await peer.hello(streams=1, explain=True, protocol=(2, 2))
    seen, obs, answered = {}, np.ones((1, 4)), -1
    for t in range(120):
        says = {}
        if t % 4 == 3:  # a person played
            says = {"taken": np.array([t % 3], "<i4").tobytes(), "by": bytes([1])}
        act = await peer.step([MID if t else FIRST], obs, **says)
        assert isinstance(act, m.ActReply), act
        if t:
            before = t % 3 if says else answered
            assert seen.setdefault(before, bytes(act.q)) == bytes(act.q)
        answered = int(np.frombuffer(act.action, "<i4")[0])
    assert len(seen) == len(set(seen.values())) == 3

    columns = house.server.registry.loaded["a"].learning.ring.columns
    bits = columns["explored"][:120]
    assert (bits[3::4] == EXPLORED).all()  # decided anew
    assert (bits[2:119:4] == 1 << 1).all()  # the person's
    assert (bits[4::4] & HELD).any()
    np.testing.assert_array_equal(columns["action"][2:119:4, 0], np.arange(3, 120, 4) % 3)
