"""Long passes are made in a thread: the answers are the same, and nobody else waits for them."""

import asyncio
import threading

import numpy as np
import pytest

from agentd.protocol import messages as m
from agentd.server.batching import actor as acting
from agentd.server.batching.question import Question, rows_of

FIRST, MID, TERMINATED = 0, 1, 2
DENSE = {"model": {"layers": [{"dense": 8}, "relu"]}, "replay": {"capacity": 5_000}}
DQN = DENSE | {"learner": "dqn", "pace": {"mode": "free", "learn_start": 4_000}}
HOLDS = DQN | {"exploration": {"start": 0.5, "end": 0.5, "hold": 8}}
STACKS = DQN | {"dqn": {"frame_stack": 3, "last_actions": 2}}
NOISY = DQN | {"model": {"layers": [{"noisy_dense": 8}, "relu"]}, "exploration": {"kind": "noisy"}}
GRU = DQN | {"model": {"layers": [{"dense": 7}, "relu", {"gru": 6}]}}
GRU |= {"dqn": {"sequences": {"batch": 4, "length": 6, "burn_in": 3}}}


@pytest.fixture
def always_long(monkeypatch):
    """Every pass counts as a long one."""
    monkeypatch.setattr(acting, "rows_of", lambda *_: 1)


async def until(true) -> None:
    async with asyncio.timeout(30.0):
        while not true():
            await asyncio.sleep(0.001)


class Gate:
    """Holds back every pass that an agent makes aside until ``open`` lets one through.

    made  passes that were made, aside or not
    """

    def __init__(self, actor) -> None:
        self.begun, self.open, self.made = threading.Semaphore(0), threading.Semaphore(0), 0
        look_ahead, values = actor.look_ahead, actor.values

        def wait(question: Question) -> None:
            look_ahead(question)
            self.begun.release()
            assert self.open.acquire(timeout=30.0)

        def count(*asked):
            self.made += 1
            return values(*asked)

        actor.look_ahead, actor.values = wait, count

    async def passed(self) -> None:
        """Wait until a pass is held back."""
        await until(lambda: self.begun.acquire(blocking=False))


def agent_of(house):
    return house.server.registry.loaded["a"]


def test_rows_of_a_long_pass():
    assert rows_of(1e-3, one=2e-3, many=3e-3, rows=16) == 1
    assert rows_of(1e-3, one=1e-4, many=16e-4, rows=16) == 10
    assert rows_of(1e-3, one=1e-4, many=1.5e-4, rows=16) > 1e9  # it would take 271 rows
    assert rows_of(1e-3, one=1e-4, many=1e-4, rows=16) > 1e9
    assert rows_of(1e-3, one=1e-4, many=1e-4, rows=1) > 1e9


async def conversation(house, role: str) -> list[tuple]:
    """Two sessions of four streams play 30 frames each at once; what they were answered."""
    rng, heard = np.random.default_rng(5), []
    peers = [await house.peer(), await house.peer()]
    for peer in peers:
        await peer.hello(role=role, explain=role == "train", streams=4)
    for t in range(30):
        kind = [FIRST if t % 10 == 0 else TERMINATED if t % 10 == 9 else MID] * 4
        for peer in peers:
            obs = rng.standard_normal((4, 4))
            acts = await peer.step(kind, obs)
            heard.append((acts.action.tobytes(), acts.explored and bytes(acts.explored)))
            heard.append(acts.q and bytes(acts.q))
    return heard


@pytest.mark.parametrize(
    ("agent", "role"),
    [(DENSE, "play"), (HOLDS, "train"), (STACKS, "train"), (NOISY, "train"), (GRU, "train")],
)
async def test_answers_are_those_that_the_event_loop_gives(serve, monkeypatch, agent, role):
    usual = await conversation(await serve(agent), role)
    monkeypatch.setattr(acting, "rows_of", lambda *_: 1)
    house = await serve(agent)
    looked = []
    real = acting.Actor.look_ahead
    monkeypatch.setattr(
        acting.Actor, "look_ahead", lambda self, asked: (looked.append(asked), real(self, asked))
    )

    assert await conversation(house, role) == usual
    assert len(looked) == 60  # every frame was answered by a pass made aside


async def test_a_pass_that_was_made_aside_is_not_made_again(serve, always_long):
    house = await serve(DQN)
    peer = await house.peer()
    await peer.hello()
    gate = Gate(agent_of(house).actor)
    gate.open.release(3)
    for kind in (FIRST, MID, MID):
        assert isinstance(await peer.step([kind] * 4), m.ActReply)
    assert gate.made == 3


async def test_others_are_answered_while_a_pass_is_made(serve, always_long):
    house = await serve(DQN)
    slow, other = await house.peer(), await house.peer()
    await slow.hello()
    await other.hello("b")
    gate = Gate(agent_of(house).actor)
    await slow.say(slow.frame([FIRST] * 4), slow.frame([MID] * 4))
    await gate.passed()

    for kind in (FIRST, MID, MID):
        assert isinstance(await other.step([kind] * 4), m.ActReply)
    stats = agent_of(house).stats()
    assert (stats["queued_frames"], stats["queued_rows"]) == (2, 8)

    gate.open.release(2)
    assert [(await slow.hear()).seq for _ in range(2)] == [1, 2]
    stats = agent_of(house).stats()
    assert (stats["queued_frames"], stats["queued_rows"], stats["frames"]) == (0, 0, 2)


async def test_a_frame_sent_again_while_its_pass_is_made_is_answered_once(serve, always_long):
    house = await serve(DQN)
    peer = await house.peer()
    welcome = await peer.hello()
    agent = agent_of(house)
    gate, frame = Gate(agent.actor), peer.frame([FIRST] * 4)
    await peer.say(frame)
    await gate.passed()
    again = await house.peer()
    back = await again.hello(resume=welcome.session)
    assert (back.resumed, back.last_seq) == (True, 1)
    await again.say(frame)
    await asyncio.sleep(0.05)  # it is read

    gate.open.release(2)
    assert isinstance(await again.hear(), m.ActReply)
    assert isinstance(await again.step([MID] * 4), m.ActReply)
    assert agent.learning.head == 8


async def test_a_session_that_ends_while_its_pass_is_made_leaves_nothing(serve, always_long):
    """Its frame is forgotten; of two that share the pass the other's is answered."""
    house = await serve(DQN, resume_s=0.05)
    gone, stays = await house.peer(), await house.peer()
    await gone.hello()
    await stays.hello()
    agent = agent_of(house)
    gate = Gate(agent.actor)
    await stays.say(stays.frame([FIRST] * 4))
    await gate.passed()
    await gone.say(gone.frame([FIRST] * 4))
    await stays.say(stays.frame([MID] * 4))
    await until(lambda: agent.queue.frames == 3)
    gate.open.release()
    await gate.passed()
    assert agent.queue.frames == 2  # both in one pass
    await gone.close()
    await until(lambda: len(agent.sessions) == 1)
    assert (agent.queue.frames, agent.queue.rows) == (1, 4)

    gate.open.release(2)
    assert [(await stays.hear()).seq for _ in range(2)] == [1, 2]
    assert (agent.learning.head, agent.queue.rows) == (8, 0)
    new = await house.peer()
    await new.hello()
    assert isinstance(await new.step([FIRST] * 4), m.ActReply)


@pytest.mark.parametrize("agent", [DQN, STACKS])
async def test_a_frame_that_breaks_a_rule_is_refused_and_its_neighbour_answered(
    serve, always_long, agent
):
    house = await serve(agent)
    first, faulty, sound = [await house.peer() for _ in range(3)]
    for peer in (first, faulty, sound):
        await peer.hello()
    gate = Gate(agent_of(house).actor)
    await first.say(first.frame([FIRST] * 4))
    await gate.passed()
    await faulty.say(faulty.frame([FIRST], stream=[99]))
    await sound.say(sound.frame([FIRST] * 4))
    await until(lambda: agent_of(house).queue.frames == 3)
    gate.open.release(2)

    refused = await faulty.hear()
    assert isinstance(refused, m.Error), refused
    assert refused.code == "UNKNOWN_STREAM"
    assert isinstance(await sound.hear(), m.ActReply)
    assert gate.made == 2  # nothing was worked out in vain
    gate.open.release()
    await faulty.say(faulty.frame([FIRST], stream=[99]))  # alone there is nothing to work out
    assert (await faulty.hear()).code == "UNKNOWN_STREAM"


async def test_weights_that_come_meanwhile_are_those_that_answer(serve, always_long):
    house = await serve(DENSE)
    peer = await house.peer()
    await peer.hello(role="play", explain=True)
    actor = agent_of(house).actor
    gate = Gate(actor)
    await peer.say(peer.frame([FIRST] * 4, np.ones((4, 4))))
    await gate.passed()
    actor.weights[:] = 0.5
    actor.publish(9)
    gate.open.release(2)

    act = await peer.hear()
    wanted = actor.values(np.ones((4, 4), np.float32).view(np.uint8))
    assert act.version == 9
    assert bytes(act.q) == wanted.tobytes()


async def test_a_pass_that_fails_aside_is_refused_like_any_other(serve, always_long):
    house = await serve(DQN)
    peer = await house.peer()
    await peer.hello()
    actor = agent_of(house).actor
    sound = actor.values

    def fail(*asked):
        raise RuntimeError("planted")

    actor.values = fail
    refused = await peer.step([FIRST] * 4)
    assert isinstance(refused, m.Error), refused
    assert refused.code == "INTERNAL"
    actor.values = sound
    assert isinstance(await peer.step([FIRST] * 4), m.ActReply)


async def test_a_stop_waits_for_the_pass_that_is_made(serve, always_long):
    house = await serve(DQN)
    peer = await house.peer()
    await peer.hello()
    gate = Gate(agent_of(house).actor)
    await peer.say(peer.frame([FIRST] * 4))
    await gate.passed()
    house.server.stop()
    await asyncio.sleep(0.05)
    gate.open.release(2)

    heard = [await peer.hear(), await peer.hear()]
    assert isinstance(heard[0], m.ActReply), heard
    await house.task
