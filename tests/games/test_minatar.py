"""MinAtar's games against the original package: the same boards, rewards, ends, step for step."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from agentd.games.game import Kind
from agentd.games.minatar import MAX_STEPS, Breakout, SpaceInvaders

ACTIONS = {"breakout": (0, 1, 3), "space_invaders": (0, 1, 3, 5)}  # ours, as the original counts
GAMES = {"breakout": Breakout, "space_invaders": SpaceInvaders}


class Draws:
    """Gives an original game the numbers that a stream of ours drew."""

    def __init__(self):
        self.stick, self.coin = 1.0, 0

    def rand(self):
        return self.stick

    def randint(self, n):
        assert n == 2
        return self.coin


class Noted:
    """A generator whose numbers are noted before they are played."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.sticks = self.coins = None

    def random(self, n):
        self.sticks = self.rng.random(n)
        return self.sticks

    def integers(self, n, size):
        self.coins = self.rng.integers(n, size=size)
        return self.coins


def originals(name, streams):
    minatar = pytest.importorskip("minatar", reason="needs the package minatar (extra gym)")
    made = []
    for _ in range(streams):
        env = minatar.Environment(name)
        env.random = env.env.random = Draws()
        made.append(env)
    return made


def begin(env, coin):
    env.random.coin = coin
    env.reset()


def skilled(name, frame, rng, streams):
    """Actions (S,) that play on for a while: under the ball, or below aliens and firing."""
    board, found = frame.obs["board"][:streams], rng.integers(len(ACTIONS[name]), size=streams)
    if name == "breakout":
        ball, paddle = board[..., 1].any(1).argmax(1), board[:, 9, :, 0].argmax(1)
        better = np.where(ball < paddle, 1, np.where(ball > paddle, 2, 0))
    else:
        better = np.where(rng.random(streams) < 0.5, 3, found)
    return np.where(rng.random(streams) < 0.9, better, found)


@pytest.mark.parametrize("name", GAMES)
def test_every_step_is_the_originals(name):
    streams, rng, noted = 4, np.random.default_rng(1), Noted(2)
    logging.disable(logging.WARNING)  # of a package that cannot draw
    envs = originals(name, streams)
    logging.disable(logging.NOTSET)
    game = GAMES[name](streams, noted)
    frame = game.reset()
    for env, coin in zip(envs, noted.coins, strict=True):
        begin(env, int(coin))
    ends, rewards = 0, 0.0
    for _ in range(400):
        actions = skilled(name, frame, rng, streams)
        frame = game.step(actions)
        fresh = 0
        for stream, env in enumerate(envs):
            env.random.stick = float(noted.sticks[stream])
            reward, over = env.act(ACTIONS[name][actions[stream]])
            np.testing.assert_array_equal(frame.obs["board"][stream], env.state())
            assert frame.reward[stream] == reward
            assert (frame.kind[stream] == Kind.TERMINATED) == over
            rewards += reward
            if over:
                begin(env, int(noted.coins[fresh]))
                opened = frame.obs["board"][streams + fresh]
                np.testing.assert_array_equal(opened, env.state())
                fresh += 1
        ends += fresh
        # what acts next sees the boards that are open
        board = frame.obs["board"][:streams].copy()
        board[frame.stream[streams:]] = frame.obs["board"][streams:]
        frame = frame._replace(obs={"board": board})
    assert ends > 2
    assert rewards > (15 if name == "breakout" else 50)


def test_a_wave_that_is_cleared_and_a_wall_that_is_gone_come_again():
    """What play in the test above reaches seldom, put there by hand."""
    wall, wave = Breakout(1, Noted(0)), SpaceInvaders(1, Noted(0))
    wall._bricks[:], wall._y[:], wall._x[:], wall._way[:], wall._pos[:] = False, 8, 3, 2, 4
    wave._aliens[:], wave._own[:] = False, False
    wave._aliens[0, 2, 3] = wave._own[0, 3, 3] = True

    assert wall.step(np.zeros(1, np.int64)).kind[0] == Kind.MID
    assert wall._bricks[0, 1:4].all()
    assert wave.step(np.zeros(1, np.int64)).reward[0] == 1
    assert wave._aliens.sum() == 24
    assert wave._interval[0] == 11


def test_an_episode_that_does_not_end_is_cut():
    game = SpaceInvaders(1, np.random.default_rng(0))
    game._steps[:] = MAX_STEPS - 1

    frame = game.step(np.zeros(1, np.int64))

    assert frame.kind.tolist() == [Kind.TRUNCATED, Kind.FIRST]
