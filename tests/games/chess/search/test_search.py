from collections.abc import Sequence

import chess
import numpy as np
import pytest

from agentd.games.chess.board.moves import N_MOVES, move_index
from agentd.games.chess.search.material import MaterialEvaluator, evaluate_material
from agentd.games.chess.search.search import Search
from agentd.games.chess.search.settings import SearchInfo, SearchSettings
from agentd.games.chess.search.tree import Node, carry_back, descend, position_key


class Flat:
    """Knows nothing: every move alike, every position even. Counts what it is asked."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def evaluate(self, boards: Sequence[chess.Board]) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
        self.batches.append(len(boards))
        return np.zeros((len(boards), N_MOVES), np.float32), np.full(len(boards), 0.5, np.float32)


class Fond(Flat):
    """Knows one move of White's that it would always play."""

    def __init__(self, uci: str) -> None:
        super().__init__()
        self._number = move_index(chess.Move.from_uci(uci), True)

    def evaluate(self, boards: Sequence[chess.Board]) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
        logits, win = super().evaluate(boards)
        logits[:, self._number] = 1.0
        return logits, win


@pytest.mark.parametrize(
    ("fen", "move"),
    [
        ("6k1/5ppp/8/8/8/8/8/R5K1 w - - 0 1", "a1a8"),  # mate in one
        ("5r1k/6pp/7N/8/8/1Q6/6PP/6K1 w - - 0 1", "b3g8"),  # a queen given for a mate
        ("4k3/8/8/3q4/4P3/8/8/4K3 w - - 0 1", "e4d5"),  # a queen for nothing
        ("r3k3/8/8/1N6/8/8/8/4K3 w - - 0 1", "b5c7"),  # a fork
        ("8/P7/8/8/8/8/k7/2K5 w - - 0 1", "a7a8q"),
    ],
)
def test_finds_the_move_that_wins(fen: str, move: str) -> None:
    found = Search(MaterialEvaluator(), SearchSettings(nodes=150)).run(chess.Board(fen)).move

    assert found == chess.Move.from_uci(move)


def test_a_mate_that_starts_quietly_is_proven_by_the_tree() -> None:
    """Qg5 and every answer loses to a mate: no check begins it."""
    board = chess.Board("7k/8/5K2/8/8/8/8/6Q1 w - - 0 1")

    result = Search(Flat(), SearchSettings(nodes=3_000)).run(board)

    line = result.info.lines[0]
    assert line.score.mate is not None
    assert 1 <= line.score.mate <= 3
    assert line.win == 1.0


def test_a_lost_position_is_told_as_a_mate_against() -> None:
    board = chess.Board("7k/8/6K1/8/8/8/8/R7 b - - 0 1")

    result = Search(Flat(), SearchSettings(nodes=200)).run(board)

    assert result.move == chess.Move.from_uci("h8g8")
    assert str(result.info.lines[0].score) == "mate -1"


@pytest.mark.parametrize(
    "fen", ["7k/5Q2/6K1/8/8/8/8/8 b - - 0 1", "7k/6Q1/6K1/8/8/8/8/8 b - - 0 1"]
)
def test_no_legal_move_is_no_move(fen: str) -> None:
    result = Search(Flat(), SearchSettings(nodes=10)).run(chess.Board(fen))

    assert result.move is None
    assert result.info.lines == ()


def test_a_losing_side_takes_the_repetition() -> None:
    """A queen against two rooks that mate at once: only checks that repeat hold the draw."""
    board = chess.Board("6k1/5p1p/6p1/8/4Q3/8/rr6/7K w - - 0 1")
    for uci in ("e4e8", "g8g7", "e8e5", "g7g8", "e5e8", "g8g7", "e8e5", "g7g8"):
        board.push_uci(uci)

    result = Search(MaterialEvaluator(), SearchSettings(nodes=300)).run(board)

    assert result.move == chess.Move.from_uci("e5e8")
    assert result.info.lines[0].win == pytest.approx(0.5, abs=0.01)


def test_a_winning_side_does_not_come_back_to_a_position() -> None:
    """The queen's move back gives what was on the board before: a draw to the search."""
    board = chess.Board("8/8/8/3k4/8/8/3Q2p1/3K4 w - - 10 60")
    for uci in ("d2a2", "d5d6", "a2d2", "d6e6", "d2a2"):
        board.push_uci(uci)
    board.push_uci("e6d6")
    search = Search(MaterialEvaluator(), SearchSettings(nodes=100, multipv=50))

    lines = {line.move.uci(): line for line in search.run(board).info.lines}

    assert lines["a2d2"].win == pytest.approx(0.5)
    assert max(line.win for line in lines.values()) > 0.6


def test_against_a_bare_king_it_mates() -> None:
    board = chess.Board("8/8/3k4/8/8/8/1Q6/K7 w - - 0 1")
    search = Search(MaterialEvaluator(), SearchSettings(nodes=100))
    while not board.is_game_over() and board.fullmove_number < 30:
        result = search.run(board)
        board.push(result.move or chess.Move.null())

    assert board.is_checkmate()
    assert board.turn == chess.BLACK
    assert str(result.info.lines[0].score) == "mate 1"


def test_the_fifty_move_rule_ends_a_line() -> None:
    board = chess.Board("7k/8/8/8/8/8/R7/K6Q w - - 99 80")
    board.remove_piece_at(chess.H1)

    result = Search(MaterialEvaluator(), SearchSettings(nodes=100, multipv=50)).run(board)

    assert evaluate_material(board) > 400
    for line in result.info.lines:
        assert line.score.mate is not None or line.win == pytest.approx(0.5)


def test_the_same_seed_plays_the_same_game_and_another_one_does_not() -> None:
    def game(seed: int) -> list[str]:
        search = Search(Flat(), SearchSettings(nodes=40, temperature=1.0, seed=seed))
        board = chess.Board()
        for _ in range(8):
            move = search.run(board).move
            assert move is not None
            board.push(move)
        return [move.uci() for move in board.move_stack]

    assert game(3) == game(3)
    assert game(3) != game(4)


def test_forgetting_begins_the_game_anew() -> None:
    search = Search(Flat(), SearchSettings(nodes=60, temperature=1.0, seed=5))
    first = [search.run(chess.Board()).move for _ in range(3)]
    search.forget()

    assert [search.run(chess.Board()).move for _ in range(3)] == first


def test_one_node_plays_the_policy_alone() -> None:
    start, wanted = chess.Board(), chess.Move.from_uci("a2a3")

    assert Search(Fond("a2a3"), SearchSettings(nodes=1)).run(start).move == wanted
    drawn = Search(Fond("a2a3"), SearchSettings(nodes=1, temperature=1.0, seed=1))
    assert len({drawn.run(chess.Board()).move for _ in range(30)}) > 5


def test_nodes_depth_and_batches_are_kept() -> None:
    flat = Flat()
    result = Search(flat, SearchSettings(nodes=300, batch=8, multipv=2)).run(chess.Board())
    assert result.info.nodes == 300
    assert sum(flat.batches) <= 300
    assert max(flat.batches) == 8

    shallow = Search(Flat(), SearchSettings(depth=2, multipv=3)).run(chess.Board())
    assert all(len(line.moves) <= 2 for line in shallow.info.lines)
    assert shallow.info.nodes == SearchSettings(depth=2).budget() == 200


def test_several_lines_are_best_first_and_different() -> None:
    board = chess.Board("r3k3/8/8/1N6/8/2q5/8/4K2R w - - 0 1")
    lines = Search(MaterialEvaluator(), SearchSettings(nodes=300, multipv=4)).run(board).info.lines

    assert len({line.move for line in lines}) == 4
    assert [line.win for line in lines] == sorted((line.win for line in lines), reverse=True)


def test_only_the_moves_asked_for_are_searched() -> None:
    board = chess.Board("4k3/8/8/3q4/4P3/8/8/4K3 w - - 0 1")
    only = [chess.Move.from_uci("e1e2"), chess.Move.from_uci("e1f2")]
    search = Search(MaterialEvaluator(), SearchSettings(nodes=50, multipv=5))

    assert search.run(board).move not in only
    lines = search.run(board, searchmoves=only).info.lines
    assert {line.move for line in lines} == set(only)


def test_stopping_answers_with_what_is_known() -> None:
    told: list[SearchInfo] = []
    asked = iter([False] * 6 + [True] * 100)

    result = Search(Flat(), SearchSettings()).run(
        chess.Board(), should_stop=lambda: next(asked), on_info=told.append
    )

    assert result.move in chess.Board().legal_moves
    assert told[-1] == result.info
    assert [info.nodes for info in told] == sorted(info.nodes for info in told)
    at_once = Search(Flat(), SearchSettings()).run(chess.Board(), should_stop=lambda: True)
    assert at_once.move in chess.Board().legal_moves


def test_a_known_position_is_not_evaluated_again() -> None:
    flat = Flat()
    search = Search(flat, SearchSettings(nodes=100))
    search.run(chess.Board())
    asked = sum(flat.batches)
    search.run(chess.Board())

    assert sum(flat.batches) == asked


def test_keys_tell_castling_and_passing_apart() -> None:
    board = chess.Board()
    same = chess.Board()
    for uci in ("g1f3", "g8f6", "f3g1", "f6g8"):
        board.push_uci(uci)
    assert position_key(board) == position_key(same)
    for uci in ("e2e4", "e7e5", "e1e2", "e8e7", "e2e1", "e7e8"):
        board.push_uci(uci)
    moved = chess.Board(board.fen())
    same.set_board_fen(board.board_fen())
    assert position_key(moved) != position_key(same)


def test_mates_travel_up_the_tree() -> None:
    root = Node(chess.Move.null(), 1.0)
    root.visits = 1
    root.moves = [chess.Move.from_uci("a2a3"), chess.Move.from_uci("a2a4")]
    root.priors = [0.6, 0.4]
    path = descend(root, 1.0, 10)
    path[-1].proof = 3  # the other side mates in three plies
    carry_back(path, 1.0)
    assert root.proof is None
    path = descend(root, 1.0, 10)
    assert path[-1].move == root.moves[1]
    path[-1].proof = 5
    carry_back(path, 1.0)

    assert root.proof == -6
    assert root.score == 1.0


QUEENS = "qqqqqk2/qqqqq3/8/8/8/8/QQQQQ3/QQQQQK2 w - - 0 1"
BARE = "8/8/3k4/8/8/8/1Q6/K7 w - - 0 1"


@pytest.mark.parametrize("fen", [chess.STARTING_FEN, QUEENS, BARE])
def test_without_time_it_answers_before_the_network_is_asked(fen: str) -> None:
    """Nothing of it is kept: the next search asks the network."""
    flat, board = Flat(), chess.Board(fen)
    search = Search(flat, SearchSettings())

    assert search.run(board, should_stop=lambda: True).move in board.legal_moves
    assert flat.batches == []
    search.run(chess.Board(), should_stop=lambda: bool(flat.batches))
    assert flat.batches


@pytest.mark.parametrize("fen", [chess.STARTING_FEN, QUEENS, BARE])
def test_every_step_can_be_stopped(fen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks at the clock only few positions are made, whatever is on the board."""
    made: list[int] = [0]
    push = chess.Board.push

    def count(board: chess.Board, move: chess.Move) -> None:
        made[-1] += 1
        push(board, move)

    def look() -> bool:
        made.append(0)
        return len(made) > 40

    monkeypatch.setattr(chess.Board, "push", count)
    Search(Flat(), SearchSettings()).run(chess.Board(fen), should_stop=look)

    assert len(made) > 1
    assert max(made) < 700  # exchanges of a leaf at most 300, each taken back


@pytest.mark.parametrize(
    ("fen", "fond", "played"),
    [
        ("7k/8/6K1/8/8/8/8/Q7 w - - 0 1", "a1a7", {"a1a8", "a1h1"}),  # mate, no stalemate
        ("k7/p7/2Q5/8/8/8/8/K7 w - - 0 1", "c6c7", None),  # a stalemate, and no mate near
    ],
)
def test_a_guarded_policy_gives_no_won_game_away(
    fen: str, fond: str, played: set[str] | None
) -> None:
    board = chess.Board(fen)
    move = Search(Fond(fond), SearchSettings(nodes=1, guarded=True)).run(board).move
    assert move is not None
    assert played is None or move.uci() in played
    board.push(move)
    assert not board.is_stalemate()


def test_a_guarded_policy_that_is_ahead_does_not_repeat() -> None:
    board = chess.Board("6k1/1p6/8/8/8/8/4R3/R3K3 w - - 0 1")
    for uci in ("a1a2", "g8f8", "a2a1", "f8g8"):
        board.push_uci(uci)

    search = Search(Fond("a1a2"), SearchSettings(nodes=1))
    assert search.run(board).move == chess.Move.from_uci("a1a2")
    search.settings = SearchSettings(nodes=1, guarded=True)
    assert search.run(board).move != chess.Move.from_uci("a1a2")
