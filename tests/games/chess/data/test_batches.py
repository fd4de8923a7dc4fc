"""Batches of positions and the measure of moves: every row once, resumable, honestly counted."""

import random

import chess
import numpy as np
import pytest

from agentd.games.chess.board.features import MIRRORED_MOVE, N_FEATURES, features
from agentd.games.chess.board.moves import N_MOVES, legal_indices, move_index
from agentd.games.chess.board.position import MATE, NO_EVAL, NO_MOVE, Positions, encode_boards
from agentd.games.chess.data.batches import (
    ChessBatches,
    ChessRows,
    expected_score,
    move_score,
    win_probability,
)
from agentd.games.chess.data.lessons import BEST
from agentd.games.chess.play.measure import MoveTest, random_mover


def games(seed: int, count: int) -> Positions:
    """Positions of random games with the moves played."""
    rng, boards, moves = random.Random(seed), [], []
    while len(boards) < count:
        board = chess.Board()
        while not board.is_game_over() and board.ply() < 80:
            boards.append(board.copy())
            move = rng.choice(list(board.legal_moves))
            moves.append(move_index(move, board.turn))
            board.push(move)
    rows = encode_boards(boards[:count], 1500, 1500)
    rows["move"] = moves[:count]
    return rows


def test_lichess_s_curve():
    assert win_probability(np.array([0, 100, -100, 300])) == pytest.approx(
        [0.5, 0.5910, 0.4090, 0.7511], abs=1e-4
    )


def test_scores_come_from_evaluations_or_else_from_results():
    rows = games(0, 3)
    rows["eval"], rows["after"] = (NO_EVAL, 0, MATE - 3), (-100, NO_EVAL, 3 - MATE)
    rows["result"] = (1, -1, -1)
    assert expected_score(rows) == pytest.approx([1.0, 0.5, 1.0], abs=1e-4)
    assert move_score(rows) == pytest.approx([0.409, 0.0, 0.0], abs=1e-4)


def test_rows_are_numbered_through_the_shards():
    rows = games(1, 50)
    parts = ChessRows([rows[:20], rows[20:20], rows[20:]])
    index = np.array([49, 3, 20, 19])
    assert len(parts) == 50
    assert (parts.take(index) == rows[np.sort(index)]).all()


def test_an_epoch_shows_every_row_once_and_goes_on_anywhere():
    rows = games(2, 64)
    batches = ChessBatches(ChessRows([rows]), 16, seed=5, mirror=False)
    steps = batches.from_step(0)
    seen = [next(steps) for _ in range(8)]
    for epoch in (seen[:4], seen[4:]):
        moves = np.concatenate([batch.move for batch in epoch])
        assert sorted(moves) == sorted(rows["move"])
    again = next(batches.from_step(6))
    assert (again.inputs == seen[6].inputs).all()
    assert (again.move == seen[6].move).all()
    assert any((a.move != b.move).any() for a, b in zip(seen[:4], seen[4:], strict=True))


def test_a_mirrored_row_asks_for_the_mirrored_move():
    board = chess.Board("6k1/8/8/8/8/8/3P4/1K6 w - - 0 1")
    rows = np.repeat(encode_boards([board]), 64)
    rows["move"] = number = move_index(chess.Move.from_uci("d2d4"), True)
    batch = next(ChessBatches(ChessRows([rows]), 64, seed=0).from_step(0))
    plain = features(rows[:1])[0]
    as_it_is = (batch.inputs == plain).all(1)
    assert 8 < as_it_is.sum() < 56
    assert (batch.move == np.where(as_it_is, number, MIRRORED_MOVE[number])).all()


def test_a_batch_has_its_parts_of_best_play_and_of_lessons():
    rows, lessons = games(7, 400), games(8, 40)
    rows["eval"], rows["after"] = 50, np.where(np.arange(400) % 2, 50, -300)
    lessons["mover_rating"] = 2500
    rows["clock"] = np.arange(400)
    taught = [(ChessRows([lessons]), 8)]
    batches = ChessBatches(ChessRows([rows]), 32, seed=1, mirror=False, best=8, lessons=taught)
    for step in (0, 3):
        parts = [source.at(step) for source in batches._sources]
        assert [len(part) for part in parts] == [16, 8, 8]
        assert (parts[0]["mover_rating"] == 1500).all()
        assert (parts[1]["mover_rating"] == 2500).all()
        assert (parts[2]["mover_rating"] == BEST).all()
        assert (parts[2]["clock"] % 2 == 1).all()  # those that lost nothing
    assert next(batches.from_step(3)).inputs.shape == (32, N_FEATURES)


def test_best_play_needs_evaluations():
    with pytest.raises(ValueError, match="expected evaluations"):
        ChessBatches(ChessRows([games(9, 64)]), 32, seed=0, best=8)


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="expected at least one position"):
        ChessRows([])
    with pytest.raises(ValueError, match="at least a batch of 16, got 5"):
        ChessBatches(ChessRows([games(3, 5)]), 16, seed=0)


def test_a_player_who_knows_every_move_finds_every_move():
    rows = games(4, 200)
    place = {features(row[None]).tobytes(): n for n, row in enumerate(rows)}
    rows = rows[list(place.values())]  # each position once: all games begin with the same
    place = {features(row[None]).tobytes(): n for n, row in enumerate(rows)}
    answers = np.zeros((len(rows), N_MOVES), np.float32)
    answers[np.arange(len(rows)), rows["move"]] = 30

    def know(inputs: np.ndarray) -> np.ndarray:
        assert inputs.shape[1] == N_FEATURES
        return answers[[place[row[None].tobytes()] for row in inputs]]

    (found,) = MoveTest(rows).measure(know)
    assert (found.top1, found.top3, found.legal) == (1.0, 1.0, 1.0)
    assert found.cross_entropy < 1e-6


def test_a_player_without_opinion_is_a_random_mover():
    rows = games(5, 100)
    (found, low, none) = MoveTest(rows).measure(
        lambda inputs: np.zeros((len(inputs), N_MOVES), np.float32), [(1400, 1600), (0, 900)]
    )
    counts = np.array([len(legal_indices(chess.Board(b))[0]) for b in _fens(rows)])
    assert found.cross_entropy == pytest.approx(np.log(counts).mean(), abs=1e-5)
    assert random_mover(rows).cross_entropy == pytest.approx(found.cross_entropy, abs=1e-5)
    assert random_mover(rows).top1 == pytest.approx((1 / counts).mean())
    assert (low.positions, none.positions) == (100, 0)


def test_rows_without_moves_measure_nothing():
    rows = games(6, 3)
    rows["move"][1] = NO_MOVE
    with pytest.raises(ValueError, match="expected positions with the moves"):
        MoveTest(rows)


def _fens(rows: Positions) -> list[str]:
    from agentd.games.chess.board.position import unpack

    return [unpack(row).fen() for row in rows]
