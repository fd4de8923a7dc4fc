import math

import pytest

from agentd.games.chess.play.elo import elo, match_score


def test_points_are_counted() -> None:
    found = match_score([(0, 1.0), (0, 0.5), (1, 0.0), (1, 1.0)])

    assert (found.wins, found.draws, found.losses, found.games) == (2, 1, 1, 4)
    assert found.score == pytest.approx(0.625)


def test_the_bar_of_independent_games_is_the_textbook_one() -> None:
    """One game an opening: the standard error of a mean."""
    points = [1.0, 0.0, 0.5, 1.0, 0.0, 0.0, 1.0, 0.5]
    mean = sum(points) / 8
    deviation = math.sqrt(sum((point - mean) ** 2 for point in points) / 7)

    found = match_score(enumerate(points))

    assert found.error == pytest.approx(1.96 * deviation / math.sqrt(8))


def test_games_that_copy_each_other_count_once() -> None:
    singles = [1.0, 0.0, 1.0, 1.0, 0.0]
    doubled = [(n, point) for n, point in enumerate(singles) for _ in range(2)]

    assert match_score(doubled).error == pytest.approx(match_score(enumerate(singles)).error)


def test_a_clean_sweep_still_has_a_bar() -> None:
    found = match_score((game // 2, 1.0) for game in range(200))

    assert found.score == 1.0
    assert 0.005 < found.error < 0.02
    middle, low, high = found.elo
    assert middle == high == math.inf
    assert 500 < low < math.inf


def test_no_games_are_no_score() -> None:
    found = match_score([])

    assert math.isnan(found.score)
    assert math.isnan(found.error)


@pytest.mark.parametrize(("score", "points"), [(0.5, 0.0), (0.75, 190.85), (0.25, -190.85)])
def test_elo_of_a_score(score: float, points: float) -> None:
    assert elo(score) == pytest.approx(points, abs=0.01)
