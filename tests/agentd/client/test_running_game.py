"""What happens to a running game, against the daemon itself: what the agent will learn from.

Each test reads the rows that the daemon has kept, column by column.
"""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

import numpy as np
import pytest

from agentd.client import (
    FIRST,
    MID,
    TERMINATED,
    TRUNCATED,
    AsyncClient,
    Client,
    DataRefused,
    GameFrame,
    SessionLost,
    demonstrate,
    join,
    play,
)
from agentd.engine.replay.rows import RowFormat, TensorFormat
from agentd.memory.ring_reader import ROWS, ReplayRingReader
from agentd.protocol.errors import Code

GAME = (("float32", (2,)), 4)
HEARTBEAT_S = 0.4
BY = {"agent": 0, "person": 1, "script": 2}


@pytest.fixture(scope="module")
def daemon(serve, tmp_path_factory):
    return serve(
        tmp_path_factory.mktemp("running") / "data",
        f"limits.heartbeat_s={HEARTBEAT_S}",
        "limits.resume_s=20",
        "agent.dqn.horizon_s=3",
        "agent.pace.learn_start=50",
        "agent.dqn.batch=32",
        "agent.game={speed: 1.5}",
    )


@pytest.fixture
def connect(daemon):
    made = []

    def make(agent, **options):
        made.append(Client.connect(daemon.address, agent, *GAME, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


class Kept(NamedTuple):
    """The rows that a daemon has kept of an agent, in the order in which they came."""

    x: list
    action: list
    by: list
    kind: list
    elapsed: list


def kept(daemon, agent):
    tensor = TensorFormat("obs", np.dtype("<f4"), (2,), 0, 8)
    path = daemon.data_dir / "agents" / agent / "replay" / ROWS
    reader = ReplayRingReader(path, RowFormat((tensor,), (4,)))
    rows, n = reader.rows(reader.head), reader.head
    x = np.array(rows.obs[:n]).view("<f4")[:, 0].tolist()
    by = (np.array(rows.explored[:n]) >> 1 & 3).tolist()
    columns = (rows.action[:n].reshape(-1), by, rows.kind[:n], rows.elapsed[:n])
    return Kept(x, *(np.array(column).tolist() for column in columns))


def state(x):
    return np.array([x, 0], np.float32)


# -- the game jumps, stands still, slows down --------------------------------------------------------


def test_a_quick_load_ends_the_episode_and_begins_another(daemon, connect):
    client = connect("quick-load")
    client.step(state(0), 0.0, FIRST)
    client.step(state(1), 1.0, MID)
    client.cut(reward=0.5)
    client.step(state(7), 0.0, FIRST)  # the loaded save
    client.step(state(8), 0.0, MID)
    last = np.stack([state(9), state(7)])  # loaded again: this time the game kept its last state
    client.step(last, [1.0, 0.0], [TRUNCATED, FIRST], [0, 0])

    rows = kept(daemon, "quick-load")
    assert rows.x == [0, 1, 1, 7, 8, 9, 7]
    assert rows.kind == [FIRST, MID, TRUNCATED, FIRST, MID, TRUNCATED, FIRST]
    assert client.reconnects == 0


def test_a_game_that_pauses_and_answers_pings_goes_on_with_its_episode(daemon, connect):
    client = connect("paused")
    client.step(state(0), 0.0, FIRST)
    until = time.monotonic() + 5 * HEARTBEAT_S
    while time.monotonic() < until:
        client.poll()
        time.sleep(HEARTBEAT_S / 4)
    client.step(state(1), 0.0, MID)

    async def await_it():
        async with await AsyncClient.connect(daemon.address, "paused", *GAME) as other:
            await other.step(state(2), 0.0, FIRST)
            await asyncio.sleep(5 * HEARTBEAT_S)
            await other.step(state(3), 0.0, MID)
            return other.reconnects

    assert asyncio.run(await_it()) == 0
    assert client.reconnects == 0
    assert kept(daemon, "paused").kind == [FIRST, MID, FIRST, MID]


def test_a_game_that_pauses_in_silence_resumes_its_episode(daemon, connect):
    client = connect("silent")
    client.step(state(0), 0.0, FIRST)
    time.sleep(5 * HEARTBEAT_S)
    client.step(state(1), 1.0, MID, taken=3, by="person")

    rows = kept(daemon, "silent")
    assert client.reconnects == 1
    assert (rows.kind, rows.action[0], rows.by[0]) == ([FIRST, MID], 3, BY["person"])


def test_a_pause_that_was_too_long_is_told_and_a_new_episode_begins(serve, tmp_path):
    settings = f"limits.heartbeat_s={HEARTBEAT_S}", "limits.resume_s=0.2", "agent.learner=none"
    daemon = serve(tmp_path / "data", *settings)
    with Client.connect(daemon.address, "gone", *GAME) as client:
        client.step(state(0), 0.0, FIRST)
        time.sleep(5 * HEARTBEAT_S)
        with pytest.raises(SessionLost):
            client.step(state(1), 1.0, MID)
        client.step(state(2), 0.0, FIRST)


def test_a_frame_rate_that_falls_and_rises_is_kept_with_the_rows(daemon, connect):
    client = connect("rates", dt_ms=1000 / 60)
    pace = [1.0, 1.0, 12.0, 12.0, 0.25, 0.25, 1.0]  # 60, 5 and 240 frames a second
    client.step(state(0), 0.0, FIRST)
    for t, elapsed in enumerate(pace, 1):
        client.step(state(t), 0.0, MID, elapsed=elapsed)
    client.step(state(9), 0.0, MID)

    assert kept(daemon, "rates").elapsed[1:] == [*pace, 1.0]
    for wrong in (0.0, -1.0, float("nan"), 1e9):
        with pytest.raises(DataRefused) as caught:
            client.step(state(9), 0.0, MID, elapsed=wrong)
        assert caught.value.code == Code.BAD_ELAPSED
    client.step(state(9), 0.0, MID)


# -- a player --------------------------------------------------------------------------------------


class Spec(NamedTuple):
    observation: dict
    actions: int


class Line:
    """Streams that walk a line of ``length`` cells: 3 leads on, all else back to its beginning."""

    def __init__(self, streams=1, length=5):
        self.streams, self.length = streams, length
        self.spec = Spec({"obs": GAME[0]}, GAME[1])
        self.at = np.zeros(streams, int)
        self.played = []

    def reset(self):
        self.at[:] = 0
        return self._frame(np.full(self.streams, FIRST), self.at)

    def step(self, actions):
        self.played.append(actions.tolist())
        at = np.where(actions == 3, self.at + 1, 0)
        kind = np.where(at == self.length, TERMINATED, MID)
        ended = np.flatnonzero(at == self.length)
        self.at = np.where(at == self.length, 0, at)
        return self._frame(kind, at, ended)

    def _frame(self, kind, at, ended=()):
        stream = np.concatenate((np.arange(self.streams), ended)).astype(np.uint32)
        at = np.concatenate((at, np.zeros(len(ended)))).astype(np.float32)
        kind = np.concatenate((kind, np.full(len(ended), FIRST))).astype(np.uint8)
        reward = (kind == TERMINATED).astype(np.float32)
        return GameFrame(stream, kind, reward, {"obs": np.stack([at, 0 * at], axis=1)}, None)


def played_rows(rows):
    """Rows from which something was played and whose outcome came: all but ended and newest."""
    return [
        (action, by)
        for action, by, kind in zip(rows.action, rows.by, rows.kind, strict=True)
        if kind < TERMINATED
    ]


def test_a_player_who_takes_over_in_every_second_row(daemon):
    game, turn = Line(), iter(range(1000))
    with join(daemon.address, "second", game) as client:
        steps = play(client, game, lambda moment: 3 if next(turn) % 2 else None)
        for _ in range(101):
            next(steps)

    rows = played_rows(kept(daemon, "second"))[:100]
    assert [action for action, _ in rows] == [actions[0] for actions in game.played][:100]
    assert [by for _, by in rows] == [0, BY["person"]] * 50
    assert all(action == 3 for action, _ in rows[1::2])


def test_only_a_persons_rows_and_none_of_the_agents(daemon):
    game = Line(2)
    with join(daemon.address, "person", game) as client:
        episodes = demonstrate(client, game, lambda moment: 3, 40)
        with Client.connect(daemon.address, role="admin") as admin:
            until = time.monotonic() + 30
            while not (facts := admin.stats("person").agents["person"])["updates"]:
                assert time.monotonic() < until, "it never learned from them"
                time.sleep(0.05)
        steps = play(client, game)
        for _ in range(5):
            next(steps)

    assert [(episode.total, episode.length) for episode in episodes] == [(1, 5)] * 40
    assert facts["state"] == "learning"
    shown = played_rows(kept(daemon, "person"))[: 40 * 5]
    assert set(shown) == {(3, BY["person"])}


def test_an_action_that_could_not_be_played_is_refused_and_the_episode_goes_on(daemon, connect):
    client = connect("wrong")
    client.step(state(0), 0.0, FIRST, mask=[1, 1, 0, 1])
    for taken in (4, -2, 2):
        with pytest.raises(DataRefused) as caught:
            client.step(state(1), 0.0, MID, taken=taken)
        assert caught.value.code == Code.BAD_TAKEN
    client.step(state(1), 0.0, MID, taken=3, by="script")

    rows = kept(daemon, "wrong")
    assert (rows.x, rows.action[0], rows.by[0]) == ([0, 1], 3, BY["script"])


def test_a_resent_frame_says_the_same_of_what_was_played(daemon, make_proxy):
    proxy = make_proxy(daemon.address, 5, cut_after=1500)
    with Client.connect(proxy.address, "cut", *GAME, wait=20.0) as client:
        for t in range(60):
            client.step(state(t), 0.0, MID if t else FIRST, taken=t % 4 if t else None, by=None)

    rows = kept(daemon, "cut")
    assert client.reconnects >= 2
    assert (rows.x, rows.action[:-1]) == (list(range(60)), [t % 4 for t in range(1, 60)])


# -- facts both ways -------------------------------------------------------------------------------


def test_settings_reach_the_game_and_its_numbers_the_operator(daemon, connect):
    client = connect("facts")
    assert client.settings == {"speed": 1.5}
    client.step(state(0), 0.0, FIRST)
    client.log(level=3)
    client.step(state(1), 1.0, TERMINATED, success=True)
    with Client.connect(daemon.address, role="admin") as admin:
        assert admin.change_settings("facts", {"speed": 2}) == {"speed": 2.0}
        until = time.monotonic() + 10
        while client.settings != {"speed": 2.0}:
            assert time.monotonic() < until, "it was not told"
            client.poll()
            time.sleep(0.01)
        facts = str(admin.stats("facts").agents["facts"])

    assert "level" in facts
