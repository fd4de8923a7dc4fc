"""A person or a script plays some rows, or all of them, and hands back."""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

import numpy as np
import pytest

from agentd.client import (
    FIRST,
    MID,
    TERMINATED,
    GameFrame,
    Moment,
    ServerTooOld,
    demonstrate,
    join,
    play,
)


class Spec(NamedTuple):
    observation: dict
    actions: int | tuple


class Walk:
    """S streams whose episodes last ``length`` steps; observes (stream, t). ``played`` is kept."""

    def __init__(self, streams=2, length=3, actions=7, mask=None):
        self.streams, self.length, self.mask = streams, length, mask
        self.spec = Spec({"obs": ("float32", (2,))}, actions)
        self.t = 0
        self.played = []

    def reset(self):
        self.t = 0
        return self._frame([FIRST] * self.streams)

    def step(self, actions):
        self.played.append(np.array(actions).tolist())
        self.t += 1
        if self.t % self.length:
            return self._frame([MID] * self.streams)
        return self._frame([TERMINATED] * self.streams + [FIRST] * self.streams)

    def _frame(self, kind):
        n = len(kind)
        stream = np.arange(n, dtype=np.uint32) % self.streams
        obs = np.stack([stream, np.full(n, self.t)], axis=1).astype(np.float32)
        mask = None if self.mask is None else np.tile(np.array(self.mask, np.uint8), (n, 1))
        return GameFrame(stream, np.array(kind, np.uint8), np.zeros(n), {"obs": obs}, mask)


@pytest.fixture
def new_peer(peer):
    peer.protocol = 2
    return peer


def told(peer):
    """(kind, taken, by) of every row that said who played."""
    found = []
    for step in peer.only.taken:
        if step.taken is None:
            continue
        columns = (
            np.frombuffer(step.kind, np.uint8),
            np.frombuffer(step.taken, np.int32).reshape(len(step.kind), -1),
            np.frombuffer(step.by, np.uint8),
        )
        found += [(int(k), *a.tolist(), int(b)) for k, a, b in zip(*columns, strict=True)]
    return found


def odd_streams(moment):
    return 5 if moment.stream % 2 else None


def test_a_player_takes_over_some_rows_and_the_server_hears_of_it(new_peer):
    game = Walk()
    with join(new_peer.address, "x", game) as client:
        list(islice(play(client, game, odd_streams), 5))

    assert game.played == [[0, 5]] * 4  # the peer answers with the stream's number
    assert told(new_peer) == [
        *[(MID, 0, 0), (MID, 5, 1)] * 2,
        *[(TERMINATED, 0, 0), (TERMINATED, 5, 1), (FIRST, 0, 0), (FIRST, 0, 0)],
        *[(MID, 0, 0), (MID, 5, 1)],
    ]


def test_a_player_who_hands_back_is_not_heard_of_again(new_peer):
    game = Walk(1, 9)
    with join(new_peer.address, "x", game) as client:
        second = lambda moment: 6 if moment.obs["obs"][1] % 2 else None  # noqa: E731
        list(islice(play(client, game, second, "script"), 6))

    assert [column[0] for column in game.played] == [0, 6, 0, 6, 0]
    assert told(new_peer) == [(MID, 6, 2)] * 2
    assert sum(step.taken is None for step in new_peer.only.taken) == 4


def test_what_the_player_sees_is_one_row_and_the_agents_answer(new_peer):
    seen = []
    game = Walk(2, 9, mask=[0, 0, 1, 1, 1, 1, 1])
    with join(new_peer.address, "x", game) as client:
        list(islice(play(client, game, seen.append), 2))

    first = seen[0]
    assert isinstance(first, Moment)
    assert (first.stream, first.obs["obs"].tolist(), int(first.action)) == (0, [0, 0], 2)
    assert first.mask.tolist() == [0, 0, 1, 1, 1, 1, 1]
    assert [moment.stream for moment in seen] == [0, 1]
    assert told(new_peer) == []


def test_a_player_of_several_branches(new_peer):
    game = Walk(1, 9, actions=(2, 3))
    with join(new_peer.address, "x", game) as client:
        list(islice(play(client, game, lambda moment: [1, 2]), 2))

    assert told(new_peer) == [(MID, 1, 2, 1)]


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (7, "take_over: stream 0: want 0..6, got 7"),
        (-1, "take_over: stream 0: want 0..6, got -1"),
        (1, "take_over: stream 0: the mask forbids 1"),
        (2.0, "take_over: stream 0: want an action number, got 2.0"),
        ([2, 3], "take_over: stream 0: want an action number"),
    ],
)
def test_an_action_that_the_game_does_not_have_is_named(new_peer, chosen, words):
    game = Walk(mask=[0, 0, 1, 1, 1, 1, 1])
    with join(new_peer.address, "x", game) as client, pytest.raises(ValueError, match=words):
        list(islice(play(client, game, lambda moment: chosen), 2))


def test_a_player_is_a_person_or_a_script(new_peer):
    game = Walk()
    words = "by: want person or script, got 'agent'"
    with join(new_peer.address, "x", game) as client, pytest.raises(ValueError, match=words):
        next(play(client, game, odd_streams, "agent"))


def test_demonstrations_are_whole_episodes_and_leave_the_client_ready(new_peer):
    game = Walk()
    with join(new_peer.address, "x", game) as client:
        episodes = demonstrate(client, game, lambda moment: 3, 3, "script")
        next(play(client, game))
        with pytest.raises(ValueError, match="at least 1 episode"):
            demonstrate(client, game, odd_streams, 0)

    assert [episode.length for episode in episodes] == [3] * 4  # two end at once
    demonstrated, played = new_peer.sessions.values()
    assert sum(sum(step.by) for step in demonstrated.taken if step.by is not None) == 2 * 6 * 2
    assert [step.kind.tobytes() for step in played.taken] == [bytes([FIRST] * 2)]


def test_a_game_may_say_itself_what_was_played(new_peer):
    class Own(Walk):
        def step(self, actions):
            n = self.streams * (1 + (self.t % 3 == 2))
            facts = {"taken": np.full(n, 4), "by": "person", "elapsed": 2.0}
            return super().step(actions)._replace(facts=facts)

    game = Own()
    with join(new_peer.address, "x", game) as client:
        list(islice(play(client, game, odd_streams), 3))

    assert [row[1:] for row in told(new_peer)] == [(4, 1)] * 4
    assert new_peer.only.taken[1].elapsed.tobytes() == np.float32([2, 2]).tobytes()


def test_an_older_server_cannot_learn_from_a_player_and_says_so(peer):
    game = Walk()
    with join(peer.address, "x", game) as client, pytest.raises(ServerTooOld, match="taken, by"):
        list(islice(play(client, game, odd_streams), 3))


def test_won_episodes_do_not_keep_a_game_from_an_older_server(peer):
    class Won(Walk):
        def step(self, actions):
            return super().step(actions)._replace(facts={"success": True})

    game = Won()
    with join(peer.address, "x", game) as client:
        assert len(list(islice(play(client, game), 3))) == 3
