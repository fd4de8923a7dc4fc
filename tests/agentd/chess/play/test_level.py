"""A bot at a level: greedy at 100, varied below, never into a mate at once, the same again."""

import chess
import pytest

from agentd.chess.model.bots import open_bot
from agentd.chess.play.level import set_level
from agentd.chess.play.opponents import local_policy
from agentd.chess.play.players import BotPlayer, Limit, Side
from agentd.chess.play.uci import UciSession
from agentd.errors import UsageError
from agentd.games.chess.search.search import Search
from agentd.games.chess.search.settings import SearchSettings

# White is mated on the back rank wherever it leaves it, unless it makes room or stays.
BACK_RANK = "3r2k1/5ppp/8/8/8/8/1P3PPP/R5K1 w - - 0 1"


def moves(
    level: float | None, nodes: int, fen: str = chess.STARTING_FEN, seeds: int = 8
) -> list[str]:
    """What is played at a level, game by game."""
    player = BotPlayer(Side(Limit(nodes=nodes), model="material", level=level))
    found = []
    for seed in range(seeds):
        player.new_game(seed)
        found.append(str(player.choose(chess.Board(fen))))
    return found


@pytest.mark.parametrize("nodes", [1, 40])
def test_level_100_is_as_without_and_a_lower_one_varies_by_its_seed(nodes: int) -> None:
    best = moves(None, nodes)
    assert len(set(best)) == 1
    assert moves(100, nodes) == best
    low = moves(5, nodes)
    assert len(set(low)) > 2
    assert moves(5, nodes) == low


@pytest.mark.parametrize("nodes", [1, 60])
def test_no_level_walks_into_a_mate_at_once(nodes: int) -> None:
    played = moves(0, nodes, BACK_RANK, seeds=30)
    assert len(set(played)) > 1
    for uci in set(played):
        board = chess.Board(BACK_RANK)
        board.push_uci(uci)
        for reply in board.legal_moves:
            board.push(reply)
            assert not board.is_checkmate(), f"{uci} is answered by {reply}"
            board.pop()


def test_a_mate_is_given_at_every_level() -> None:
    assert set(moves(0, 40, "6k1/5ppp/8/8/8/8/5PPP/3R2K1 w - - 0 1", seeds=6)) == {"d1d8"}


def test_the_uci_option_level_holds_from_the_next_move_on() -> None:
    lines: list[str] = []
    session = UciSession(lines.append, open_bot, "material")

    def best() -> str:
        session.answer("position startpos")
        session.answer("go nodes 30")
        session.answer("stop")
        return next(line for line in reversed(lines) if line.startswith("bestmove")).split()[1]

    session.answer("setoption name Seed value 3")
    greedy = best()
    session.answer("setoption name Level value 0")
    assert {best() for _ in range(8)} - {greedy}
    session.answer("setoption name Level value 100")
    assert best() == greedy
    session.answer("setoption name Level value 101")
    assert lines[-1] == "info string option Level: expected a whole number from 0 to 100, got 101"


def test_a_policy_at_a_level_has_a_limit_and_excludes_what_varies_otherwise() -> None:
    policy = local_policy("material", level=0, seed=4, nodes=20)
    assert policy.choose(chess.Board()).move in chess.Board().legal_moves
    for other in ({"rating": 1500}, {"temperature": 1.0}):
        with pytest.raises(UsageError, match="--level excludes --rating and --temperature"):
            local_policy("material", level=50, **other)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"want a level in 0\.\.100"):
        set_level(Search(open_bot("material"), SearchSettings()), -1, 0)
