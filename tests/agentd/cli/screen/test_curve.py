"""Curves in text: the right dots, the right labels, nothing odd for odd input."""

import itertools
import math

from agentd.cli.screen.curve import draw_curve, draw_spark


def test_a_rising_line_goes_from_the_lower_left_to_the_upper_right() -> None:
    lines = draw_curve([(0, 0), (100, 10)], width=40, height=5)

    plot = [line.split("┤")[1] for line in lines[:5]]
    assert plot[0][-1] != "⠀"
    assert plot[0][0] == "⠀"
    assert plot[4][0] != "⠀"
    assert plot[4][-1] == "⠀"
    for left, right in itertools.pairwise(plot):
        first = next(at for at, cell in enumerate(left) if cell != "⠀")
        below = next(at for at, cell in enumerate(right) if cell != "⠀")
        assert below < first


def test_axes_carry_their_ends() -> None:
    lines = draw_curve([(0, -5), (2_000, 500)], width=60, height=9, x_label="steps")

    assert lines[0].strip().startswith("500 ┤")
    assert lines[4].strip().startswith("247.5 ┤")
    assert lines[8].strip().startswith("-5 ┤")
    assert lines[-1].strip().startswith("0")
    assert lines[-1].endswith("2,000 steps")
    assert max(map(len, lines)) <= 60


def test_a_flat_line_is_drawn_at_the_bottom() -> None:
    lines = draw_curve([(0, 3), (1, 3)], width=30, height=4)

    assert all(cell != "⠀" for cell in lines[3].split("┤")[1])


def test_what_is_not_finite_is_left_out() -> None:
    kept = draw_curve([(0, 1), (1, math.nan), (2, math.inf), (3, 2)], width=30)

    assert kept == draw_curve([(0, 1), (3, 2)], width=30)


def test_too_few_points_are_said() -> None:
    assert draw_curve([]) == draw_curve([(1, 1)]) == ["(too few points for a curve)"]


def test_sparks_scale_to_their_own_range() -> None:
    assert draw_spark([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert draw_spark([5, 5]) == "▁▁"
    assert draw_spark([]) == ""
    assert len(draw_spark(list(range(100)), width=10)) == 10
