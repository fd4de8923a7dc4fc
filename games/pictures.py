"""Pictures of our games for people who watch: lines of text, at most ``WIDEST`` columns each."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.games.canvas import DOTS_HIGH, DOTS_WIDE, Canvas
from agentd.games.cartpole import X_LIMIT, CartPole
from agentd.games.catch import Catch
from agentd.games.duel import HEALTH, Duel, burning
from agentd.games.game import Game
from agentd.games.snake import Snake
from agentd.games.two_player import SEATS, Against, SelfPlay

WIDEST = 40
_POLE = 3.0  # m; what is drawn, so that its lean shows
_CART_HEIGHT = 13  # lines of the cart's picture without the track
_SKY = (28, 14)  # characters of a sky: as many dots wide as high
_CATCH = {" ": "    ", "o": " ██ ", "=": "▀▀▀▀", "|": "│"}
_SNAKE = {" ": "  ", "@": "██", "o": "▓▓", ".": "░░", "*": "◆◆", "-": "──", "|": "│", "+": "+"}


def draw(game: Game, stream: int = 0) -> list[str]:
    """Draw where ``stream`` of ``game`` stands; a game without a picture of its own renders."""
    match game:
        case CartPole():
            return draw_cart(game.state[stream])
        case Catch():
            return enlarge(game.render(stream), _CATCH)
        case Snake():
            return enlarge(game.render(stream), _SNAKE)
        case SelfPlay(world=Duel() as sky):
            return draw_sky(sky, stream // SEATS)
        case Against(world=Duel() as sky):
            return draw_sky(sky, stream)
    return game.render(stream).splitlines()


def enlarge(text: str, cells: dict[str, str]) -> list[str]:
    """Draw each character of ``text`` as what ``cells`` has for it.

    >>> enlarge("|@|", {"@": "##"})
    ['|##|']
    """
    return ["".join(cells.get(mark, mark) for mark in line) for line in text.splitlines()]


def draw_cart(state: NDArray[np.floating[Any]]) -> list[str]:
    """Draw one state (4,) of CartPole: the cart on its track, the pole longer than it is."""
    canvas = Canvas(WIDEST, _CART_HEIGHT)
    wide, high = WIDEST * DOTS_WIDE - 1, _CART_HEIGHT * DOTS_HIGH - 1
    metre = wide / (2 * X_LIMIT + 1)  # half a metre is left at each end
    middle, angle = wide / 2 + float(state[0]) * metre, float(state[2])
    joint = high - 6
    canvas.box(middle - 7, joint, middle + 7, high)
    length = _POLE * metre
    tip = middle + length * math.sin(angle), joint - length * math.cos(angle)
    canvas.line(middle, joint, *tip, thick=2)
    end = round(X_LIMIT * metre / DOTS_WIDE)
    track = "┴" + "─" * (2 * end - 1) + "┴"
    return [*canvas.lines(), track.center(WIDEST).rstrip()]


def draw_sky(sky: Duel, table: int) -> list[str]:
    """Draw one sky of Duel: planes with their tails behind them, bullets, and who has what left."""
    width, height = _SKY
    canvas = Canvas(width, height)
    wide, high = width * DOTS_WIDE, height * DOTS_HIGH
    for seat in range(SEATS):
        x, y = sky.place[table, seat] * (wide, -high) % (wide, high)
        heading = float(sky.heading[table, seat])
        ahead, up = math.cos(heading), -math.sin(heading)
        canvas.line(x - 3 * ahead, y - 3 * up, x + 3 * ahead, y + 3 * up, thick=2 - seat)
        for side in (-1, 1):  # the wings; one of our own has a body of two dots as well
            canvas.line(x + ahead, y + up, x - ahead - side * 4 * up, y - up + side * 4 * ahead)
        if burning(sky.boost[table, seat]):
            canvas.line(x - 5 * ahead, y - 5 * up, x - 8 * ahead, y - 8 * up)
        for bullet in np.flatnonzero(sky.life[table, seat] > 0):
            at, down = sky.bullet[table, seat, bullet] * (wide, -high) % (wide, high)
            canvas.box(at - (1 - seat), down - (1 - seat), at, down)
    lines = [f"│{line}│" for line in canvas.lines()]
    left = [max(0, int(health)) for health in sky.health[table]]
    hearts = ["♥" * health + "·" * (HEALTH - health) for health in left]
    edge = "─" * width
    states = f" thick {hearts[0]}   thin {hearts[1]}"
    return [f"┌{edge}┐", *lines, f"└{edge}┘", states]
