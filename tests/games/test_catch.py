from __future__ import annotations

import doctest

import numpy as np
import pytest

import agentd.games.catch
from agentd.games.catch import COLUMNS, LEFT, RIGHT, ROWS, STAY, Catch
from agentd.games.game import Kind


@pytest.fixture
def game():
    return Catch(64, np.random.default_rng(0))


def balls(frame):
    """Column of the ball in the top row of each board."""
    return frame.obs["board"][:, 0].argmax(axis=1)


def towards(frame, board_row):
    """Steer each paddle towards its ball; ``board_row`` is the row the balls are in."""
    board = frame.obs["board"][: len(np.unique(frame.stream))]
    gap = board[:, board_row].argmax(axis=1) - board[:, -1].argmax(axis=1)
    return np.sign(gap) + STAY


def test_the_ball_starts_in_every_column_and_the_paddle_in_the_middle(game):
    frame = game.reset()

    assert set(balls(frame)) == set(range(COLUMNS))
    assert (frame.obs["board"].sum(axis=(1, 2)) == 2).all()
    assert (frame.obs["board"][:, -1, COLUMNS // 2] == 1).all()


def test_an_episode_takes_nine_steps_and_ends_by_the_rules(game):
    game.reset()
    for _ in range(ROWS - 2):
        frame = game.step(np.full(64, STAY))
        assert (frame.kind == Kind.MID).all()
        assert (frame.reward == 0).all()

    frame = game.step(np.full(64, STAY))

    assert (frame.kind[:64] == Kind.TERMINATED).all()
    assert (frame.kind[64:] == Kind.FIRST).all()


def test_a_caught_ball_pays_one_and_a_missed_ball_minus_one(game):
    starts = balls(game.reset())
    for _ in range(ROWS - 1):
        frame = game.step(np.full(64, STAY))

    expected = np.where(starts == COLUMNS // 2, 1, -1)
    np.testing.assert_array_equal(frame.reward[:64], expected)


def test_following_the_ball_catches_every_ball(game):
    frame = game.reset()
    for row in range(ROWS - 1):
        frame = game.step(towards(frame, row))

    assert (frame.reward[:64] == 1).all()
    # The final observation is the caught ball, not the board after the reset.
    assert (frame.obs["board"][:64].sum(axis=(1, 2)) == 1).all()
    assert (frame.obs["board"][64:].sum(axis=(1, 2)) == 2).all()


@pytest.mark.parametrize(("action", "column"), [(LEFT, 0), (RIGHT, COLUMNS - 1)])
def test_walls_stop_the_paddle(game, action, column):
    game.reset()
    for _ in range(4):
        frame = game.step(np.full(64, action))

    assert (frame.obs["board"][:, -1].argmax(axis=1) == column).all()


def test_render_draws_ball_and_paddle():
    board = np.zeros((ROWS, COLUMNS), np.float32)
    board[0, 4] = board[-1, 1] = 1

    lines = agentd.games.catch.render(board).splitlines()

    assert lines[0] == "|    o|"
    assert lines[-1] == "| =   |"


def test_examples_in_the_docstrings_run():
    assert doctest.testmod(agentd.games.catch).failed == 0
