"""Playing games against a server: what is sent, what is counted."""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

import numpy as np
import pytest

from agentd import games
from agentd.client import FIRST, MID, TERMINATED, TRUNCATED
from agentd.client.game import GameFrame
from agentd.client.rollout import Tally, evaluate, join, play

ENDED = (TERMINATED, TRUNCATED)


class Spec(NamedTuple):
    observation: dict
    actions: int | tuple


class Script:
    """Episodes of known lengths: stream ``s`` plays ``lengths[s]`` over and over.

    Every step pays 1; the last one of an episode pays 10. Observations are (stream, episode, t).
    Episodes of odd streams end as truncated. ``played`` keeps the actions of every step.
    """

    def __init__(self, *lengths, actions=3, masked=False):
        self.lengths = lengths
        self.streams = len(lengths)
        self.spec = Spec({"obs": ("float32", (3,))}, actions)
        self.masked = masked
        self.episode = np.zeros(self.streams, int)
        self.t = np.zeros(self.streams, int)
        self.played = []
        self.resets = 0

    def reset(self):
        self.resets += 1
        self.episode += 1
        self.t[:] = 0
        return self._frame([(s, FIRST, 0) for s in range(self.streams)], None)

    def step(self, actions):
        self.played.append(np.array(actions))
        self.t += 1
        kinds = [
            MID if self.t[s] < self._length(s) else TRUNCATED if s % 2 else TERMINATED
            for s in range(self.streams)
        ]
        rows = [(s, kinds[s], 10 if kinds[s] in ENDED else 1) for s in range(self.streams)]
        ended = [s for s in range(self.streams) if kinds[s] in ENDED]
        finals = [self._obs(s) for s, _, _ in rows]
        for s in ended:
            self.episode[s] += 1
            self.t[s] = 0
        return self._frame(rows + [(s, FIRST, 0) for s in ended], finals)

    def _length(self, s):
        return self.lengths[s][(self.episode[s] - 1) % len(self.lengths[s])]

    def _obs(self, s):
        return [s, self.episode[s], self.t[s]]

    def _frame(self, rows, finals):
        obs = (finals or []) + [self._obs(s) for s, k, _ in rows if k == FIRST]
        mask = np.tile(np.array([0, 0, 1], np.uint8), (len(rows), 1)) if self.masked else None
        return GameFrame(
            np.array([s for s, _, _ in rows], np.uint32),
            np.array([k for _, k, _ in rows], np.uint8),
            np.array([r for _, _, r in rows], np.float32),
            {"obs": np.array(obs, np.float32)},
            mask,
        )


@pytest.fixture
def client_of(peer):
    made = []

    def make(game, **options):
        made.append(join(peer.address, "x", game, retry_for=5.0, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


def taken(session):
    """(stream, kind, episode, t) of every row that the server took."""
    rows = []
    for step in session.taken:
        streams = np.frombuffer(step.stream, np.uint32)
        kinds = np.frombuffer(step.kind, np.uint8)
        obs = np.frombuffer(step.obs["obs"], np.float32).reshape(-1, 3)
        rows += [
            (int(s), int(k), int(o[1]), int(o[2]))
            for s, k, o in zip(streams, kinds, obs, strict=True)
        ]
    return rows


def test_hello_says_what_the_game_looks_like(peer, client_of):
    client_of(games.make("snake", 5, seed=0), role="eval")

    (hello,) = peer.hellos
    assert hello.observation == {"planes": {"dtype": "uint8", "shape": [4, 8, 8]}}
    assert hello.action == {"kind": "discrete", "n": 4}
    assert (hello.streams, hello.role) == (5, "eval")


def test_every_row_reaches_the_server_in_order(peer, client_of):
    game = Script((2, 3), (4,))
    for _ in islice(play(client_of(game), game), 6):
        pass

    assert [row for row in taken(peer.only) if row[0] == 0] == [
        (0, FIRST, 1, 0),
        (0, MID, 1, 1),
        (0, TERMINATED, 1, 2),
        (0, FIRST, 2, 0),
        (0, MID, 2, 1),
        (0, MID, 2, 2),
        (0, TERMINATED, 2, 3),
        (0, FIRST, 3, 0),
    ]
    assert [row for row in taken(peer.only) if row[0] == 1] == [
        (1, FIRST, 1, 0),
        (1, MID, 1, 1),
        (1, MID, 1, 2),
        (1, MID, 1, 3),
        (1, TRUNCATED, 1, 4),
        (1, FIRST, 2, 0),
        (1, MID, 2, 1),
    ]


def test_each_stream_plays_its_own_action_and_never_that_of_its_ended_row(peer, client_of):
    game = Script((1,), (2,), (3,))
    for _ in islice(play(client_of(game), game), 5):
        pass

    for actions in game.played:
        assert actions.tolist() == [0, 1, 2]  # the peer's answer is the stream's number


def test_turns_count_steps_returns_and_lengths(client_of):
    game = Script((2, 3), (4,))
    turns = list(islice(play(client_of(game), game), 6))

    assert [turn.steps for turn in turns] == [0, 2, 4, 6, 8, 10]
    ended = [tuple(episode) for turn in turns for episode in turn.ended]
    assert ended == [(0, 11, 2, False), (1, 13, 4, True), (0, 12, 3, False)]
    assert all(turn.act_s > 0 for turn in turns)
    assert turns[-1].version == 9


def test_a_tally_adds_turns_up(client_of):
    game = Script((2, 3), (4,))
    tally = Tally(recent=2)
    assert tally.mean != tally.mean
    for turn in islice(play(client_of(game), game), 6):
        tally.add(turn)

    assert (tally.steps, tally.episodes) == (10, 3)
    assert tally.mean == (13 + 12) / 2
    assert tally.latency.n == 6
    assert tally.latency.quantile(0.5) > 0
    assert tally.steps_per_s > 0


def test_a_lost_session_resets_the_game_and_forgets_open_episodes(peer, client_of):
    game = Script((4,))
    client = client_of(game)
    turns = play(client, game)
    for _ in range(3):
        next(turns)
    peer.resumes = False
    peer.cut()
    ended = []
    while not ended:
        ended = next(turns).ended

    assert game.resets == 2
    assert ended == [(0, 13, 4, False)]
    _, after = peer.sessions.values()
    assert [kind for _, kind, _, _ in taken(after)] == [FIRST, MID, MID, MID, TERMINATED, FIRST]


def test_a_resumed_session_goes_on_with_the_same_episode(peer, client_of):
    game = Script((5,))
    turns = play(client_of(game), game)
    ended = []
    while not ended:
        ended = next(turns).ended
        peer.cut()

    assert game.resets == 1
    assert ended == [(0, 14, 5, False)]
    assert len(peer.sessions) == 1


@pytest.mark.parametrize("name", sorted(games.GAMES.keys() - {"connect4-search4"}))
def test_every_game_of_ours_plays(name, client_of):
    game = games.make(name, 3, seed=1)
    tally = Tally()
    for turn in play(client_of(game), game):
        tally.add(turn)
        if tally.steps >= 1800:
            break

    assert tally.steps == 1800
    assert tally.episodes > 0


# -- evaluation ------------------------------------------------------------------------------------


def test_evaluation_plays_exactly_the_first_episodes_of_every_stream(peer, client_of):
    game = Script((1,), (7,), (2,))

    found = evaluate(client_of(game, role="eval"), game, 7)

    assert [(e.stream, e.length) for e in found.episodes] == [
        (0, 1), (0, 1), (0, 1), (1, 7), (1, 7), (2, 2), (2, 2),
    ]  # fmt: skip
    assert found.mean == np.mean([10, 10, 10, 16, 16, 11, 11])
    assert found.std == np.std([10, 10, 10, 16, 16, 11, 11])


def test_the_server_sees_no_row_of_an_episode_too_many(peer, client_of):
    game = Script((1,), (7,), (2,))
    evaluate(client_of(game, role="eval"), game, 7)

    rows = taken(peer.only)
    for stream, share in ((0, 3), (1, 2), (2, 2)):
        kinds = [kind for s, kind, _, _ in rows if s == stream]
        assert kinds.count(FIRST) == share
        assert sum(kind in ENDED for kind in kinds) == share
        assert kinds[-1] in ENDED


def test_streams_without_a_share_are_never_sent(peer, client_of):
    game = Script((2,), (2,), (2,))

    found = evaluate(client_of(game, role="play"), game, 1)

    assert len(found.episodes) == 1
    assert {stream for stream, _, _, _ in taken(peer.only)} == {0}


def test_streams_that_nobody_asks_about_play_a_legal_action(client_of):
    game = Script((1,), (4,), masked=True)
    evaluate(client_of(game, role="eval"), game, 2)

    assert all(actions[0] == 2 for actions in game.played)


def test_so_they_do_with_several_branches(peer, client_of):
    game = Script((1,), (3,), actions=(2, 3))
    evaluate(client_of(game, role="eval"), game, 2)

    assert game.played[0].shape == (2, 2)
    assert [actions[0].tolist() for actions in game.played[1:]] == [[0, 0], [0, 0]]


def test_a_lost_session_begins_the_evaluation_anew(peer, client_of):
    game = Script((3,), (2,))
    client = client_of(game, role="eval")
    cuts = [2]

    def cut(peer, connection, step):
        if step.seq == 3 and cuts:
            cuts.pop()
            peer.resumes = False
            peer.cut()

    peer.before_answer = cut
    found = evaluate(client, game, 4)

    assert [(e.stream, e.length) for e in found.episodes] == [(0, 3), (0, 3), (1, 2), (1, 2)]


def test_an_evaluation_must_not_learn(client_of):
    game = Script((1,))

    with pytest.raises(ValueError, match="role eval or play, got train"):
        evaluate(client_of(game), game, 1)
    with pytest.raises(ValueError, match="at least 1 episode"):
        evaluate(client_of(game, role="eval"), game, 0)


@pytest.mark.parametrize("name", sorted(games.GAMES.keys() - {"connect4-search4"}))
def test_every_game_of_ours_can_be_evaluated(name, client_of):
    game = games.make(name, 3, seed=1)

    found = evaluate(client_of(game, role="eval"), game, 4)

    share = np.arange(4) % game.streams  # a game for two has two streams
    assert [e.stream for e in found.episodes] == sorted(share)
