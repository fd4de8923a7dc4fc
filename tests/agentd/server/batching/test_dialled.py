"""Sessions that ask for a level: what they are answered, again and beside others."""

import numpy as np
import pytest

from agentd.engine.rules.dial import Dial
from agentd.protocol import messages as m

FIRST, MID, TERMINATED = 0, 1, 2
RUN = bytes(range(16))
NEWER = {"protocol": (1, 2), "explain": True}


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(2).normal(size=(40, 2, 4))


@pytest.fixture
async def house(serve):
    return await serve()


async def played(house, rows, **asked):
    """Actions (T, 2) and values (T, 2, 3) of one session."""
    peer = await house.peer()
    await peer.hello(role="play", **asked)
    actions, values = [], []
    for at, obs in enumerate(rows):
        answer = await peer.step([MID if at else FIRST] * 2, obs)
        assert isinstance(answer, m.ActReply), answer
        actions.append(np.frombuffer(answer.action, "<i4"))
        values.append(np.frombuffer(answer.q or b"", "<f4"))
    await peer.close()
    return np.array(actions), np.array(values).reshape(len(rows), 2, -1)


async def test_a_level_is_played_by_the_run_and_100_is_as_without(house, rows):
    greedy, q = await played(house, rows, **NEWER)
    assert (greedy == q.argmax(axis=2)).all()
    best, _ = await played(house, rows, level=100.0, **NEWER)
    plain, _ = await played(house, rows)
    assert (best == greedy).all()
    assert (plain == greedy).all()

    weak, _ = await played(house, rows, level=15.0, **NEWER)
    dial = Dial(15, int.from_bytes(RUN[:8], "little"))
    ours = [dial.choose(x, None, (3,), np.arange(2), t + 1)[:, 0] for t, x in enumerate(q)]
    assert (weak == np.array(ours)).all()
    silent, _ = await played(house, rows, level=15.0, protocol=(1, 2))
    assert (silent == weak).all()
    other, _ = await played(house, rows, level=15.0, run=bytes(16), **NEWER)
    assert 0.05 < (weak != greedy).mean() < 0.9
    assert (other != weak).any()


async def test_what_is_illegal_is_not_played_and_an_ended_row_gets_no_action(house):
    peer = await house.peer()
    await peer.hello(role="eval", level=0.0, **NEWER)
    mask = bytes([0, 1, 0, 1, 1, 1])
    for at in range(10):
        answer = await peer.step([MID if at else FIRST] * 2, mask=mask)
        assert np.frombuffer(answer.action, "<i4")[0] == 1
    answer = await peer.step([TERMINATED, MID])
    assert np.frombuffer(answer.action, "<i4")[0] == -1


@pytest.mark.parametrize(
    ("asked", "expected", "got"),
    [
        ({"level": 101.0}, "0..100", "101"),
        ({"level": float("nan")}, "0..100", "nan"),
        ({"level": 50.0, "role": "train"}, "role eval or play", "role train"),
    ],
)
async def test_a_level_that_cannot_be_played_is_refused_by_name(house, asked, expected, got):
    peer = await house.peer()
    await peer.say(peer.hello_message(**({"role": "play", "protocol": (1, 2)} | asked)))
    error = await peer.hear()
    assert isinstance(error, m.Error)
    assert (error.code, error.field, error.fatal) == ("BAD_HELLO", "level", True)
    assert (error.expected, error.got) == (expected, got)
