"""What games say they played, how long it took, and what becomes of it in the ring."""

import asyncio

import numpy as np
import pytest

from agentd.protocol import messages as m
from agentd.store import read_dt_ms

FIRST, MID, TERMINATED, TRUNCATED = range(4)
AGENT = {"learner": "dqn", "pace": {"learn_start": 90_000}, "exploration": {"start": 1.0}}
TIMED = AGENT | {"dqn": {"horizon_s": 2.0}}
BOTH = (1, 2)


def i32(*numbers):
    return np.array(numbers, "<i4").tobytes()


def f32(*numbers):
    return np.array(numbers, "<f4").tobytes()


def actions(reply):
    assert isinstance(reply, m.ActReply), reply
    return np.frombuffer(reply.action, "<i4").tolist()


@pytest.fixture
async def house(serve):
    return await serve(TIMED, drain_s=60.0)


@pytest.fixture
async def ring(house):
    """The columns of agent a's ring up to its head, once it has rows."""

    def read(*names):
        found = house.server.registry.loaded["a"].learning.ring
        return [found.columns[name][: found.head].tolist() for name in names]

    return read


async def test_the_row_before_holds_what_was_played_and_who_chose_it(house, ring):
    peer = await house.peer()
    await peer.hello(protocol=BOTH)
    answered = actions(await peer.step([FIRST, FIRST]))
    other = (answered[0] + 1) % 3
    await peer.step([MID, MID], taken=i32(other, answered[1]), by=b"\1\0")
    await peer.step([MID, MID], taken=i32(0, 2), by=b"\2\2")
    await peer.step([TERMINATED, MID], taken=i32(1, 1), by=b"\1\1", success=b"\1\0")

    action, explored, after = ring("action", "explored", "next")
    assert [row[0] for row in action[:6]] == [other, answered[1], 0, 2, 1, 1]
    assert action[6] == [-1]
    assert [byte >> 1 for byte in explored[:6]] == [1, 0, 2, 2, 1, 1]
    assert [byte & 1 for byte in explored[:6]] == [0, 1, 0, 0, 0, 0]  # all of its own explored
    assert after[:6] == [2, 3, 4, 5, 6, 7]


async def test_the_agent_s_own_late_action_counts_as_explored(serve):
    house = await serve(AGENT | {"exploration": {"start": 0.0, "end": 0.0}}, drain_s=60.0)
    peer = await house.peer()
    await peer.hello(protocol=BOTH)
    (greedy,) = actions(await peer.step([FIRST]))
    (again,) = actions(await peer.step([MID], taken=i32(greedy)))
    await peer.step([MID], taken=i32((again + 1) % 3))

    ring = house.server.registry.loaded["a"].learning.ring
    assert ring.columns["explored"][:3].tolist() == [0, 1, 0]
    assert ring.columns["action"][:2, 0].tolist() == [greedy, (again + 1) % 3]


async def test_frames_that_say_nothing_are_not_touched_by_their_company(house, ring):
    told, silent = await house.peer(), await house.peer()
    await told.hello(protocol=BOTH)
    await silent.hello()
    first = [actions(await peer.step([FIRST])) for peer in (told, silent)]
    played = (first[0][0] + 1) % 3
    await asyncio.gather(
        told.step([MID], taken=i32(played), by=b"\1", elapsed=f32(3)), silent.step([MID])
    )

    action, explored, elapsed = ring("action", "explored", "elapsed")
    assert action[:2] == [[played], first[1]]
    assert [byte >> 1 for byte in explored[:2]] == [1, 0]
    assert sorted(elapsed) == [1, 1, 1, 3]


async def test_elapsed_is_kept_only_where_time_counts(house, ring, serve):
    peer = await house.peer()
    await peer.hello(protocol=BOTH)
    await peer.step([FIRST, FIRST], elapsed=f32(np.nan, -1))  # a first row took nothing
    await peer.step([MID, MID], elapsed=f32(0.5, 36_000))
    await peer.step([MID, MID])
    assert ring("elapsed") == [[1, 1, 0.5, 36_000, 1, 1]]

    plain = await serve(AGENT, drain_s=60.0)
    peer = await plain.peer()
    await peer.hello(protocol=BOTH)
    await peer.step([FIRST])
    await peer.step([MID], elapsed=f32(2))
    assert "elapsed" not in plain.server.registry.loaded["a"].learning.ring.columns


async def test_a_refused_frame_leaves_the_row_before_as_it_was(house, ring):
    peer = await house.peer()
    await peer.hello(protocol=BOTH)
    await peer.step([FIRST, FIRST])
    before = ring("action", "explored")
    for facts in (
        {"taken": i32(0, 3), "by": b"\1\1"},
        {"taken": i32(0, 1), "by": b"\1\3"},
        {"taken": i32(0, 1), "by": b"\1\1", "elapsed": f32(1, 0)},
    ):
        assert isinstance(await peer.step([MID, MID], **facts), m.Error)
    assert ring("action", "explored") == before


async def test_the_first_session_that_says_dt_ms_says_it_for_the_agent(house):
    agents = house.server.registry.stored
    for role, dt_ms, kept in (("eval", 5.0, None), ("train", 20.0, 20.0), ("train", 10.0, 20.0)):
        peer = await house.peer()
        await peer.hello(role=role, protocol=BOTH, dt_ms=dt_ms)
        assert read_dt_ms(agents.folder("a")) == kept


async def test_masks_of_before_a_restart_still_count(house, serve, tmp_path):
    config, folder = house.server.config, tmp_path / "again"
    first = await serve(config=config, data_dir=folder)
    peer = await first.peer()
    welcome = await peer.hello(protocol=BOTH)
    await peer.step([FIRST, FIRST], mask=bytes([1, 1, 0, 1, 1, 1]))
    await peer.close()
    while first.server.registry.loaded["a"].connected:
        await asyncio.sleep(0.01)
    await first.down()
    second = await serve(config=config, data_dir=folder)
    peer = await second.peer()
    assert (await peer.hello(protocol=BOTH, resume=welcome.session)).resumed
    refused = await peer.step([MID, MID], taken=i32(2, 2), by=b"\1\1")
    assert (refused.code, "row 0" in refused.message) == ("BAD_TAKEN", True)
    assert isinstance(await peer.step([MID, MID], taken=i32(1, 2), by=b"\1\1"), m.ActReply)
