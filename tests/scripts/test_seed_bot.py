"""The re-created bot of the beginnings: its inputs, its two plies, its UCI."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import chess
import numpy as np
import pytest

from agentd.games.chess.board.position import encode_boards

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/seed_bot.py"


@pytest.fixture
def seed_bot(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("seed_bot")


def test_inputs_are_898_and_the_same_for_the_mirrored_board(seed_bot: ModuleType) -> None:
    boards = [chess.Board(), chess.Board("4k3/8/8/8/8/5q2/8/4K2R b K - 7 9")]
    rows = seed_bot.inputs(encode_boards(boards))

    assert rows.shape == (2, 898)
    assert rows[0, :768].sum() == 32
    assert rows[0, 768:832].sum() == len(
        {s for t in chess.SquareSet(boards[0].occupied_co[True]) for s in boards[0].attacks(t)}
    )
    mirrored = seed_bot.inputs(encode_boards([board.mirror() for board in boards]))
    np.testing.assert_array_equal(rows, mirrored)


def test_two_plies_see_a_mate_and_what_is_taken_back(
    seed_bot: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = seed_bot.network().init(np.random.default_rng(0))
    bot = seed_bot.SeedBot(weights)
    mate = chess.Board("6k1/5ppp/8/8/8/8/8/R5K1 w - - 0 1")
    assert bot.choose(mate) == chess.Move.from_uci("a1a8")
    assert bot.choose(chess.Board("7k/6Q1/6K1/8/8/8/8/8 b - - 0 1")) is None

    def count(boards: list[chess.Board]) -> np.ndarray:  # type: ignore[type-arg]
        from agentd.games.chess.search.captures import material

        return np.array([0.5 + material(board) / 10_000 for board in boards])

    monkeypatch.setattr(bot, "values", count)
    guarded = chess.Board("4k3/8/2p5/3p4/8/8/8/3QK3 w - - 0 1")
    assert bot.choose(guarded) != chess.Move.from_uci("d1d5")
    free = chess.Board("4k3/8/8/3p4/8/8/8/3QK3 w - - 0 1")
    assert bot.choose(free) == chess.Move.from_uci("d1d5")


def test_it_learns_and_plays_what_it_kept(
    seed_bot: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    boards = []
    for squares in range(48):
        board = chess.Board("4k3/8/8/8/8/8/8/4K3 w - - 0 1")
        board.set_piece_at(8 + squares, chess.Piece(chess.QUEEN, squares % 2 == 0))
        boards.append(board)
    rows = encode_boards(boards)
    rows["result"] = [1 if n % 2 == 0 else -1 for n in range(48)]
    monkeypatch.setattr(seed_bot, "open_folder", lambda folder: [rows])
    kept = tmp_path / "bot.safetensors"

    seed_bot.train(tmp_path, kept, steps=40, seed=1)

    losses = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]
    assert losses[-1] < 0.3 < losses[0]
    commands = "uci\nisready\nposition startpos moves e2e4\ngo depth 2\nquit\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(commands))
    monkeypatch.setattr(sys, "argv", ["seed_bot.py", "uci", str(kept)])
    seed_bot.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == ["uciok", "readyok"]
    board = chess.Board()
    board.push_uci("e2e4")
    assert chess.Move.from_uci(lines[-1].split()[1]) in board.legal_moves
