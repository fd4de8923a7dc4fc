"""Pictures of games: lines of text that fit beside a curve, and show where things are."""

import doctest
import math

import numpy as np
import pytest

import agentd.games.pictures
from agentd.games import GAMES, make
from agentd.games.canvas import Canvas
from agentd.games.cartpole import CartPole
from agentd.games.duel import Duel
from agentd.games.pictures import WIDEST, draw, draw_cart, draw_sky
from agentd.games.snake import FOOD

BLANK = "\u2800"


def inked(lines: list[str]) -> list[tuple[int, int]]:
    """(column, line) of the characters that show a dot."""
    return [(x, y) for y, line in enumerate(lines) for x, c in enumerate(line) if BLANK < c < "⣿⣿"]


@pytest.mark.parametrize("name", sorted(GAMES))
def test_every_game_of_ours_has_a_picture_that_fits(name: str) -> None:
    game = make(name, 2, seed=5)

    lines = draw(game, stream=1)

    assert 1 <= len(lines) <= 18
    assert max(map(len, lines)) <= WIDEST
    assert any(line.strip() for line in lines)


@pytest.mark.parametrize(("lean", "side"), [(0.2, 1), (-0.2, -1)])
def test_the_pole_leans_to_its_side_of_the_cart(lean: float, side: int) -> None:
    lines = draw_cart(np.array([0.5, 0.0, lean, 0.0]))

    dots = inked(lines[:-1])
    bottom = [x for x, y in dots if y == len(lines) - 2]
    top_line = min(y for _, y in dots)
    tip = [x for x, y in dots if y == top_line]
    middle = sum(bottom) / len(bottom)
    assert middle > WIDEST / 2, "the cart is to the right"
    assert (sum(tip) / len(tip) - middle) * side > 3


@pytest.mark.parametrize("state", [(9.0, 0, 3.0, 0), (-9.0, 0, -3.0, 0), (0, 0, math.pi, 0)])
def test_a_cart_far_out_is_drawn_as_far_as_the_picture_goes(state: tuple[float, ...]) -> None:
    assert max(map(len, draw_cart(np.array(state)))) <= WIDEST


def test_planes_are_where_the_sky_says() -> None:
    sky = Duel(1, np.random.default_rng(0))
    sky.begin(np.arange(1))
    sky.place[0] = ((0.25, 0.75), (0.75, 0.25))  # y points upwards
    sky.health[0] = (3, 1)

    lines = draw_sky(sky, 0)

    dots = inked(lines[1:-2])
    wide, high = len(lines[0]) - 2, len(lines) - 3
    assert {(x - 1 < wide / 2, y < high / 2) for x, y in dots} == {(True, True), (False, False)}
    assert "thick ♥♥♥" in lines[-1]
    assert "thin ♥··" in lines[-1]


def test_a_snake_is_drawn_with_square_cells() -> None:
    game = make("snake", 1, seed=2)
    planes = game.reset().obs["planes"][0]
    row, column = np.argwhere(planes[FOOD])[0]

    lines = draw(game)

    assert lines[1 + row][1 + 2 * column :].startswith("◆◆")
    assert sum(line.count("██") for line in lines) == 1, "one head"


def test_what_lies_outside_of_a_canvas_is_left_out() -> None:
    canvas = Canvas(2, 1)

    canvas.box(-9, -9, 0, 0)
    canvas.line(3, 3, 99, 3)
    canvas.box(50, 50, 60, 60)
    canvas.box(-5, -5, -3, -3)

    assert canvas.lines() == ["\u2801\u2880"]


def test_the_picture_is_of_the_stream_that_was_named() -> None:
    game = CartPole(2, np.random.default_rng(1))
    game.state[1, 0] = 2.0

    assert draw(game, 0) != draw(game, 1)
    assert draw(game, 1) == draw_cart(game.state[1])


def test_examples_in_the_docstrings_run() -> None:
    assert doctest.testmod(agentd.games.pictures).failed == 0
