import pytest

from agentd.games.chess.board.score import MAX_CP, Score, cp_to_win, win_to_cp


@pytest.mark.parametrize(("cp", "win"), [(0, 0.5), (100, 0.59103), (-300, 0.24887)])
def test_centipawns_are_lichess_win_chances(cp: int, win: float) -> None:
    assert cp_to_win(cp) == pytest.approx(win, abs=1e-5)
    assert win_to_cp(win) == pytest.approx(cp, abs=0.01)


def test_certain_results_stay_finite() -> None:
    assert win_to_cp(1.0) == MAX_CP
    assert win_to_cp(0.0) == -MAX_CP
    assert cp_to_win(10**9) == pytest.approx(1.0)
    assert cp_to_win(-(10**9)) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("plies", "text"),
    [(1, "mate 1"), (3, "mate 2"), (5, "mate 3"), (0, "mate 0"), (-2, "mate -1"), (-4, "mate -2")],
)
def test_mates_count_moves_of_the_side_that_gives_them(plies: int, text: str) -> None:
    assert str(Score.of_plies(plies)) == text


def test_a_score_of_a_chance_is_whole_centipawns() -> None:
    assert str(Score.of_win(0.59103)) == "cp 100"
