"""Turn a block of a dump into packed positions, with an account of every game."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentd.games.chess.board.position import NO_CLOCK, POSITION, Positions
from agentd.games.chess.data.dump import GAME_BYTES
from agentd.games.chess.data.filter import CODE, RESULTS, Filter, rating_of, start_clock
from agentd.games.chess.data.game_starts import split_games
from agentd.games.chess.data.pgn_reader import GameText, PgnReader, parse_game
from agentd.games.chess.data.plies import TagColumns, pack_plies

GAME = np.dtype(
    [
        ("start", "<u4"),  # byte of the block at which its text begins
        ("reason", "u1"),  # why it was dropped: place in agentd.games.chess.data.filter.REASONS
        ("plies", "<u4"),  # half-moves read
        ("rows", "<u4"),  # positions kept
        ("opening", "<u4"),  # positions dropped as opening
        ("low_clock", "<u4"),  # positions dropped as made in haste
        ("players", "<u8", (2,)),  # hashes of both names
    ]
)
"""What became of one game."""

Games = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class ParsedBlock:
    """games (G,) of GAME in the order of the text; rows (N,) of POSITION, game after game."""

    games: Games
    rows: Positions


def read_block(
    data: bytes, reader: PgnReader, wanted: Filter, *, cut_off: bool = False
) -> ParsedBlock:
    """Return the positions of the games in ``data`` that ``wanted`` lets through.

    Where the dump was ``cut_off`` no game of the block can be trusted to be whole.
    """
    starts, games = _split(data)
    account = np.zeros(len(games), GAME)
    account["start"] = starts
    for row, game in zip(account, games, strict=True):
        reason = "cut off" if cut_off else "too long" if game is None else wanted.reason(game.tags)
        row["reason"] = CODE[reason]
    kept = [n for n, code in enumerate(account["reason"].tolist()) if not code]
    texts = [game for n in kept if (game := games[n]) is not None]
    plies, faults = reader.read(texts)
    rows = pack_plies(plies, tag_columns(texts))
    account["plies"][kept] = plies.count
    account["reason"][kept] = _verdicts(faults, plies.count, wanted)
    if wanted.games_per_player is not None:
        names = [_players(game) for game in texts]
        account["players"][kept] = np.array(names, np.uint64).reshape(-1, 2)
    return ParsedBlock(account, _select(rows, account, plies.count, np.array(kept, int), wanted))


def _split(data: bytes) -> tuple[list[int], list[GameText | None]]:
    """Return where games begin, and the games; None for one that is too long to be read."""
    starts: list[int] = []
    games: list[GameText | None] = []
    for start, text in split_games(data):
        found = [None] if len(text) >= GAME_BYTES else parse_game(text)
        starts += [start] * len(found)
        games += found
    return starts, games


def tag_columns(games: Sequence[GameText]) -> TagColumns:
    """Return what the tags of games say that positions need."""
    starts = [start_clock(game.tags) for game in games]
    clocks = [NO_CLOCK if s is None else min(s, NO_CLOCK - 1) for s in starts]
    return TagColumns(
        result=np.array([RESULTS[game.tags["Result"]] for game in games], np.int8),
        white_rating=np.array([rating_of(game.tags, "WhiteElo") for game in games], np.uint16),
        black_rating=np.array([rating_of(game.tags, "BlackElo") for game in games], np.uint16),
        start=np.array(clocks, np.uint16),
    )


def _verdicts(
    faults: NDArray[np.uint8], count: NDArray[np.int64], wanted: Filter
) -> NDArray[np.uint8]:
    short = np.where(count == 0, CODE["no moves"], CODE["too few plies"])
    return np.where((faults == 0) & (count < max(1, wanted.min_plies)), short, faults).astype(
        np.uint8
    )


def _players(game: GameText) -> tuple[int, int]:
    """Return hashes of both names, the same in every process."""
    names = (game.tags.get(tag, "").lower() for tag in ("White", "Black"))
    white, black = (hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    return int.from_bytes(white, "little"), int.from_bytes(black, "little")


def _select(
    rows: Positions,
    account: Games,
    count: NDArray[np.int64],
    kept: NDArray[np.int_],
    wanted: Filter,
) -> Positions:
    """Return the rows that stay, and count in ``account`` in place those that do not."""
    game = np.repeat(np.arange(len(count)), count)
    ply = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    good = (account["reason"][kept] == 0)[game]
    opening = good & (ply < wanted.skip_plies)
    haste = good & ~opening & (rows["clock"] < wanted.min_clock)
    stays = good & ~opening & ~haste
    for name, chosen in (("opening", opening), ("low_clock", haste), ("rows", stays)):
        account[name][kept] = np.bincount(game[chosen], minlength=len(count))
    return rows if stays.all() else rows[stays]


def pack_block(block: ParsedBlock) -> bytes:
    """Return ``block`` as bytes, for a pipe."""
    head = np.array([len(block.games)], "<u4")
    return head.tobytes() + block.games.tobytes() + block.rows.tobytes()


def unpack_block(data: bytes) -> ParsedBlock:
    """Return what ``pack_block`` packed; its arrays are views of ``data``."""
    size = int(np.frombuffer(data, "<u4", 1)[0])
    end = 4 + size * GAME.itemsize
    games = np.frombuffer(data, GAME, size, 4)
    return ParsedBlock(games, np.frombuffer(data, POSITION, offset=end))
