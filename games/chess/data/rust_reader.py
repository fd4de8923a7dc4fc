"""The optional fast reader: shakmaty's, in Rust, through rust-pgn-reader-python-binding.

That package is free software under the GPL-3 (shakmaty's licence), which is why agentd neither
contains nor needs it: whoever installs the extra ``chess-fast`` chooses it.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import rust_pgn_reader_python_binding as rust
from numpy.typing import NDArray

from agentd.games.chess.board.position import MATE, NO_CLOCK, NO_EVAL
from agentd.games.chess.data.pgn_reader import GameText, PythonChessReader
from agentd.games.chess.data.plies import EVAL_LIMIT, Plies, interleave

_KIND = np.array([0, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6], np.uint8)
_CODE = (_KIND | np.array([0] + [8] * 6 + [0] * 6, np.uint8)).tobytes() + bytes(256 - len(_KIND))
"""Of the package's pieces: bits 0-2 the piece's kind, 3 White's."""
_PLAIN = re.compile(
    r"(?:"
    r"(?:[0-9]++\.++ *+)?+"
    r"(?:[NBRQK]x?[a-h][1-8]|[a-h](?:x[a-h])?+[1-8](?:=[NBRQ])?+|O-O(?:-O)?+"
    r"|[NBRQK][a-h]?+[1-8]?+x?+[a-h][1-8])"
    r"[+#]?+[!?]{0,2}+(?: ++|\Z)"
    r"(?:\{[^{}\[]*+"
    r"(?:\[%eval (?:-?[0-9]{1,3}(?:\.[0-9]{1,2})?+|#-?[0-9]{1,3})\][^{}\[]*+)?+"
    r"(?:\[%clk [0-9]{1,2}:[0-5][0-9]:[0-5][0-9]\][^{}\[]*+)?+"
    r"\} *+)?+"
    r")*+(?:1-0|0-1|1/2-1/2|\*)?+"
)
"""Moves as lichess writes them: what both readers are known to read alike."""
_VARIATION = re.compile(r"\([^(){}\[\];%]*\)")
"""Or words of a comment in brackets, which nobody reads."""


class RustReader:
    """Replays games some ten times as fast as ``PythonChessReader``, in one thread.

    It leaves to that reader what is not plain: a game that begins elsewhere, is written otherwise
    than lichess does, or has a move that cannot be made.
    """

    def __init__(self) -> None:
        self._slow = PythonChessReader()

    def read(self, games: Sequence[GameText]) -> tuple[Plies, NDArray[np.uint8]]:
        texts = [_text(game) for game in games]
        fast = np.array([n for n, text in enumerate(texts) if text is not None], np.int64)
        plies, valid = _parse([text for text in texts if text is not None])
        faults = np.zeros(len(games), np.uint8)
        fast = fast[valid]
        if len(fast) == len(games):
            return plies, faults
        plies = replace(plies, count=plies.count[valid], mated=plies.mated[valid])
        slow = np.setdiff1d(np.arange(len(games)), fast)
        others, faults[slow] = self._slow.read([games[n] for n in slow])
        return interleave([plies, others], [fast, slow]), faults


def _text(game: GameText) -> str | None:
    """Return what the package shall parse, None for a game that is not plain.

    The package reads only the last comment after a move, and knows no mates: those it is told as
    so many pawns as no evaluation has (``_evaluations`` turns them back).
    """
    moves = game.moves or "*"
    if "(" in moves:
        moves = _VARIATION.sub(" ", moves)
    if "} {" in moves:
        moves = moves.replace("} {", " ")
    if "\n" in moves:
        moves = moves.replace("\n", " ")
    if "FEN" in game.tags or _PLAIN.fullmatch(moves) is None:
        return None
    if "[%eval #" in moves:
        moves = moves.replace("[%eval #-", "[%eval -700").replace("[%eval #", "[%eval 700")
    return moves


def _parse(texts: list[str]) -> tuple[Plies, NDArray[np.bool_]]:
    """Return the half-moves of games, and (G,) whether each can be played; the others have none."""
    parsed = rust.parse_games_from_strings(texts or ["*"], num_threads=1)
    (chunk,) = parsed.chunks
    valid = chunk.valid[: len(texts)]
    return _plies(chunk, valid), valid


def _plies(chunk: "rust.PyChunkView", valid: NDArray[np.bool_]) -> Plies:
    """Return the half-moves of the games that are ``valid`` (G,); of the others none."""
    total = np.diff(chunk.move_offsets).astype(np.int64)[: len(valid)]
    count = np.where(valid, total, 0)
    ply = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    move = np.repeat(chunk.move_offsets[: len(valid)].astype(np.int64), count) + ply
    at = np.repeat(chunk.position_offsets[: len(valid)].astype(np.int64), count) + ply
    boards = chunk.boards.reshape(-1, 64)[at]
    codes = np.frombuffer(boards.tobytes().translate(_CODE), np.uint8)
    low, middle, high, white = (_plane(codes, bit) for bit in range(4))
    rights = chunk.castling[at].astype(np.uint8)
    promotion = chunk.promotions[move]
    return Plies(
        low=low,
        middle=middle,
        high=high,
        white=white,
        white_moves=chunk.turn[at],
        castling=(rights << np.arange(4, dtype=np.uint8)).sum(axis=1, dtype=np.uint8),
        ep=(chunk.en_passant[at] + 1).astype(np.uint8),
        halfmove=chunk.halfmove_clock[at],
        origin=chunk.from_squares[move],
        target=chunk.to_squares[move],
        promotion=np.where(promotion < 0, 0, promotion).astype(np.uint8),
        evaluation=_evaluations(chunk.evals[move]),
        clock=_clocks(chunk.clocks[move]),
        count=count,
        mated=chunk.is_checkmate[: len(valid)] & (count > 0),
    )


def _plane(codes: NDArray[np.uint8], bit: int) -> NDArray[np.uint64]:
    """Return (N,) bitboards of the squares whose code (N * 64,) has ``bit`` set."""
    return np.packbits(codes & (1 << bit), bitorder="little").view("<u8")


def _evaluations(pawns: NDArray[np.float32]) -> NDArray[np.int16]:
    """Return (N,) evaluations of (N,) pawns: 7003, 70012 and 700123 are mates in 3, 12 and 123."""
    missing = np.isnan(pawns)
    known = np.where(missing, np.float32(0), pawns)
    found = np.where(
        missing, NO_EVAL, np.clip(np.rint(known * 100), -EVAL_LIMIT, EVAL_LIMIT)
    ).astype(np.int16)
    size = np.abs(known)
    mates = np.flatnonzero(size >= 7000)
    size = size[mates]
    distance = size - np.select([size >= 700_000, size >= 70_000], [700_000, 70_000], 7000)
    moves = np.minimum(distance, MATE - EVAL_LIMIT - 1)
    found[mates] = np.where(known[mates] < 0, moves - MATE, MATE - moves)
    return found


def _clocks(seconds: NDArray[np.float32]) -> NDArray[np.uint16]:
    known = ~np.isnan(seconds)
    return np.where(known, np.minimum(np.nan_to_num(seconds), NO_CLOCK - 1), NO_CLOCK).astype(
        np.uint16
    )
