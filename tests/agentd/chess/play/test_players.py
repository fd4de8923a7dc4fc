"""Players of a match, and one game between two of them."""

import shutil

import chess
import chess.pgn
import pytest

from agentd.chess.play.players import (
    BotPlayer,
    EnginePlayer,
    Limit,
    Side,
    open_player,
    parse_limit,
    play_game,
)
from agentd.errors import MissingInput, UsageError


class Script:
    """A player that answers from a list."""

    def __init__(self, *moves: str) -> None:
        self._moves = list(moves)

    def new_game(self, seed: int) -> None:
        pass

    def choose(self, board: chess.Board) -> chess.Move | None:
        return chess.Move.from_uci(self._moves.pop(0)) if self._moves else None

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("first", "second", "white", "ended"),
    [
        (("e2e4", "d1h5", "f1c4", "h5f7"), ("e7e5", "b8c6", "g8f6"), True, ("1-0", 1.0)),
        (("f7f6", "g7g5"), ("e2e4", "d2d4", "d1h5"), False, ("1-0", 0.0)),
        (("e2e5",), (), True, ("0-1", 0.0)),
        (("e2e4",), (), True, ("1-0", 1.0)),  # no answer
        (("g1f3", "f3g1") * 3, ("g8f6", "f6g8") * 3, True, ("1/2-1/2", 0.5)),
        (("g1f3", "f3g1") * 2, ("g8f6", "f6g8", "g8f6"), True, ("1-0", 1.0)),  # could, does not
    ],
)
def test_games_end_by_the_rules_and_forfeits_lose(
    first: tuple[str, ...], second: tuple[str, ...], white: bool, ended: tuple[str, float]
) -> None:
    game = play_game(0, chess.STARTING_FEN, white, (Script(*first), Script(*second)), 50)

    assert (game.result, game.points) == ended


def test_a_game_too_long_is_a_draw() -> None:
    pair = (Script("e2e4", "d2d4"), Script("e7e5", "d7d5"))

    game = play_game(0, chess.STARTING_FEN, True, pair, 4)

    assert (game.result, game.reason) == ("1/2-1/2", "too long")


def test_limits_are_read_and_shown() -> None:
    assert parse_limit("depth=5") == Limit(depth=5)
    assert str(parse_limit("nodes=7,time=0.5")) == "nodes=7,time=0.5"
    for wrong in ("", "depth", "depth=x", "hours=3", "time=-1"):
        with pytest.raises(UsageError, match="expected nodes=N"):
            parse_limit(wrong)


def test_players_are_opened_as_they_are_written_down() -> None:
    bot = open_player(Side(Limit(nodes=2), model="material"))
    assert isinstance(bot, BotPlayer)
    with pytest.raises(MissingInput, match="no chess model"):
        open_player(Side(Limit(nodes=2), model="/no/where"))
    with pytest.raises(MissingInput, match="cannot start"):
        open_player(Side(Limit(nodes=2), engine=""))


STOCKFISH = shutil.which("stockfish") or shutil.which("/usr/games/stockfish")


@pytest.mark.skipif(STOCKFISH is None, reason="needs stockfish")
def test_a_real_engine_and_an_option_that_it_lacks() -> None:
    side = Side(Limit(nodes=50), engine=STOCKFISH, options={"Skill Level": "0"})
    player = open_player(side)
    assert isinstance(player, EnginePlayer)
    try:
        assert player.choose(chess.Board()) in chess.Board().legal_moves
    finally:
        player.close()
    with pytest.raises(UsageError, match="Skil"):
        open_player(Side(Limit(nodes=50), engine=STOCKFISH, options={"Skil": "0"}))
