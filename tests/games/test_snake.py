from __future__ import annotations

import doctest

import numpy as np
import pytest

import agentd.games.snake
from agentd.games.game import Kind
from agentd.games.snake import BODY, DOWN, FOOD, HEAD, LEFT, MOVES, RIGHT, TAIL, UP, Snake


@pytest.fixture
def game():
    """One snake on 5 x 5 cells, heading right from the middle, with its food in the corner."""
    game = Snake(1, np.random.default_rng(0), size=5)
    lay(game, [(2, 2), (2, 1), (2, 0)], RIGHT, food=(0, 0))
    return game


def lay(game, cells, heading, food, stream=0):
    """Put a snake on ``cells``, head first."""
    game._left_in[stream] = 0
    for age, (row, column) in enumerate(cells):
        game._left_in[stream, row, column] = len(cells) - age
    game._head[stream] = cells[0]
    game._length[stream] = len(cells)
    game._heading[stream] = heading
    game._food[stream] = food
    game._hunger[stream] = 0


def play(game, *actions):
    for action in actions:
        frame = game.step(np.array([action]))
    return frame


def naive_rules(cells, food, action, size):
    """The same step on a list of cells, head first: (cells, ate, died)."""
    head = (cells[0][0] + int(MOVES[action, 0]), cells[0][1] + int(MOVES[action, 1]))
    ate = head == food
    body = cells if ate else cells[:-1]
    if not (0 <= head[0] < size and 0 <= head[1] < size) or head in body:
        return cells, False, True
    return [head, *body], ate, False


def plane(frame, which, row=0):
    return sorted(map(tuple, np.argwhere(frame.obs["planes"][row, which]).tolist()))


def test_a_first_snake_has_three_cells_in_a_line_and_room_ahead():
    frame = Snake(200, np.random.default_rng(0)).reset()

    planes = frame.obs["planes"]
    assert (planes.sum(axis=(2, 3)) == (1, 2, 1, 1)).all()
    assert not (planes[:, FOOD] & (planes[:, HEAD] | planes[:, BODY])).any()
    assert (frame.mask.sum(axis=1) == 3).all()


def test_the_tail_follows_the_head(game):
    frame = play(game, RIGHT)

    assert plane(frame, HEAD) == [(2, 3)]
    assert plane(frame, BODY) == [(2, 1), (2, 2)]
    assert plane(frame, TAIL) == [(2, 1)]
    assert (frame.kind[0], frame.reward[0]) == (Kind.MID, 0)


@pytest.mark.parametrize(
    ("heading", "back"), [(UP, DOWN), (RIGHT, LEFT), (DOWN, UP), (LEFT, RIGHT)]
)
def test_the_mask_forbids_turning_back(game, heading, back):
    game._heading[0] = heading

    assert np.flatnonzero(game._mask(np.array([0]))[0] == 0).tolist() == [back]
    with pytest.raises(ValueError, match="back on itself"):
        game.step(np.array([back]))


def test_food_pays_one_and_grows_the_snake_by_one_cell(game):
    game._food[0] = (2, 3)

    frame = play(game, RIGHT)

    assert frame.reward[0] == 1
    assert plane(frame, HEAD) == [(2, 3)]
    assert plane(frame, BODY) == [(2, 0), (2, 1), (2, 2)]
    assert plane(frame, FOOD) not in ([], [(2, 3)])


@pytest.mark.parametrize("path", [(RIGHT, RIGHT, RIGHT), (UP, UP, UP), (DOWN, DOWN, DOWN)])
def test_a_wall_kills(game, path):
    frame = play(game, *path)

    assert (frame.kind[0], frame.reward[0]) == (Kind.TERMINATED, -1)
    assert frame.kind[1] == Kind.FIRST


def test_the_dead_snake_is_shown_where_it_stood(game):
    frame = play(game, RIGHT, RIGHT, RIGHT)

    assert plane(frame, HEAD) == [(2, 4)]
    assert plane(frame, BODY) == [(2, 2), (2, 3)]


def test_its_own_body_kills(game):
    lay(game, [(2, 2), (2, 1), (1, 1), (1, 2), (1, 3), (2, 3)], RIGHT, food=(4, 4))

    frame = play(game, UP)

    assert (frame.kind[0], frame.reward[0]) == (Kind.TERMINATED, -1)


def test_the_cell_that_the_tail_leaves_is_free(game):
    lay(game, [(2, 2), (2, 1), (1, 1), (1, 2)], RIGHT, food=(4, 4))

    frame = play(game, UP)

    assert frame.kind[0] == Kind.MID
    assert plane(frame, HEAD) == [(1, 2)]
    assert plane(frame, TAIL) == [(1, 1)]


def test_a_snake_that_does_not_eat_starves_and_that_is_a_truncation():
    game = Snake(1, np.random.default_rng(0), size=5, patience=6)
    lay(game, [(2, 2), (2, 1), (2, 0)], RIGHT, food=(0, 0))

    frame = play(game, DOWN, LEFT, UP, RIGHT, DOWN)
    assert frame.kind.tolist() == [Kind.MID]
    frame = play(game, LEFT)

    assert frame.kind.tolist() == [Kind.TRUNCATED, Kind.FIRST]


def test_eating_ends_the_hunger():
    game = Snake(1, np.random.default_rng(0), size=5, patience=2)
    lay(game, [(2, 2), (2, 1), (2, 0)], RIGHT, food=(2, 4))

    frame = play(game, RIGHT, RIGHT)

    assert (frame.kind[0], frame.reward[0]) == (Kind.MID, 1)


def test_filling_the_grid_ends_the_game_by_the_rules(game):
    snake = [(r, c if r % 2 == 0 else 4 - c) for r in range(5) for c in range(5)]
    lay(game, snake[1:], LEFT, food=(0, 0))

    frame = play(game, LEFT)

    assert (frame.kind[0], frame.reward[0]) == (Kind.TERMINATED, 1)
    assert plane(frame, FOOD) == []


def test_random_play_follows_the_rules_written_naively_on_a_list():
    rng = np.random.default_rng(4)
    game = Snake(1, np.random.default_rng(2), size=5, patience=30)
    frame = game.reset()
    deaths = meals = 0
    cells = None
    for _ in range(2_000):
        if frame.kind[-1] == Kind.FIRST:
            head, tail = plane(frame, HEAD, -1)[0], plane(frame, TAIL, -1)[0]
            (middle,) = set(plane(frame, BODY, -1)) - {tail}
            cells, food = [head, middle, tail], plane(frame, FOOD, -1)[0]
        action = int(rng.choice(np.flatnonzero(frame.mask[-1])))
        cells, ate, died = naive_rules(cells, food, action, 5)
        frame = play(game, action)

        assert (frame.kind[0] == Kind.TERMINATED) == died
        assert plane(frame, HEAD) == [cells[0]]
        assert plane(frame, BODY) == sorted(cells[1:])
        assert plane(frame, TAIL) == [cells[-1]]
        assert frame.reward[0] == int(ate) - int(died)
        food = plane(frame, FOOD)[0]
        deaths, meals = deaths + died, meals + ate
    assert deaths > 20
    assert meals > 20


@pytest.mark.parametrize("options", [{"size": 4}, {"size": 65}, {"patience": 0}])
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match="want a"):
        Snake(1, np.random.default_rng(0), **options)


def test_examples_in_the_docstrings_run():
    assert doctest.testmod(agentd.games.snake).failed == 0
