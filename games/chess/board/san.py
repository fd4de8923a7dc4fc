"""What a move in standard algebraic notation means on a board: found from its target backwards.

python-chess looks for such a move among the legal ones of its kind, which takes most of the time
that replaying a game takes. Here the pieces that reach the target are read off its attack tables,
and those that would leave their king attacked are struck out. Whatever is not as plain as that
(castling, a capture in passing, a text that is wrong or means two moves) python-chess decides, so
the answers and the errors are its own.
"""

from functools import lru_cache

import chess

_FILE_OF = {name: chess.BB_FILES[n] for n, name in enumerate(chess.FILE_NAMES)}
_RANK_OF = {name: chess.BB_RANKS[n] for n, name in enumerate(chess.RANK_NAMES)}
_ENDS = chess.BB_RANK_1 | chess.BB_RANK_8

_Word = tuple[int, int, int, int]
_move = lru_cache(1 << 13)(chess.Move)


def find_move(board: chess.Board, text: str) -> chess.Move:
    """Return what ``board.parse_san(text)`` returns, and raise what it raises."""
    word = _word(text)
    if word is not None:
        kind, target, origins, promotion = word
        found = _reach(board, kind, target) & origins & board.occupied_co[board.turn]
        if found & (found - 1):
            found = sum(
                chess.BB_SQUARES[origin]
                for origin in chess.scan_forward(found)
                if _is_safe(board, kind, chess.BB_SQUARES[origin], target)
            )
            if found and not found & (found - 1):
                return _move(found.bit_length() - 1, target, promotion or None)
        elif found and _is_safe(board, kind, found, target):
            return _move(found.bit_length() - 1, target, promotion or None)
    return board.parse_san(text)


@lru_cache(1 << 14)
def _word(text: str) -> _Word | None:
    """Return (kind, target, where it may come from, promotion or 0), or None if it is not plain."""
    match = chess.SAN_REGEX.match(text)
    if match is None:
        return None
    letter, file, rank, target, promotion = match.groups()
    origins = chess.BB_ALL
    if file:
        origins &= _FILE_OF[file]
    if rank:
        origins &= _RANK_OF[rank]
    square = chess.SQUARE_NAMES.index(target)
    becomes = chess.PIECE_SYMBOLS.index(promotion[-1].lower()) if promotion else 0
    if letter:
        plain = not promotion
        return (chess.PIECE_SYMBOLS.index(letter.lower()), square, origins, 0) if plain else None
    if rank or file == target[0] or bool(promotion) != bool(chess.BB_SQUARES[square] & _ENDS):
        return None
    if becomes in (chess.PAWN, chess.KING):
        return None
    return chess.PAWN, square, origins if file else _FILE_OF[target[0]], becomes


def _reach(board: chess.Board, kind: int, target: int) -> int:
    """Return the squares of all pieces of ``kind``, of both sides, that may go to ``target``.

    None where one's own piece stands there, or no enemy where a pawn captures.
    """
    turn, occupied = board.turn, board.occupied
    if board.occupied_co[turn] >> target & 1:
        return 0
    if kind == chess.PAWN:
        return _pawns(board, target)
    if kind == chess.KNIGHT:
        return chess.BB_KNIGHT_ATTACKS[target] & board.knights
    if kind == chess.KING:
        return chess.BB_KING_ATTACKS[target] & board.kings
    found = 0
    if kind != chess.ROOK:
        found = chess.BB_DIAG_ATTACKS[target][chess.BB_DIAG_MASKS[target] & occupied]
    if kind != chess.BISHOP:
        found |= chess.BB_RANK_ATTACKS[target][chess.BB_RANK_MASKS[target] & occupied]
        found |= chess.BB_FILE_ATTACKS[target][chess.BB_FILE_MASKS[target] & occupied]
    if kind == chess.QUEEN:
        return found & board.queens
    return found & (board.rooks if kind == chess.ROOK else board.bishops)


def _pawns(board: chess.Board, target: int) -> int:
    """Return the squares of pawns that go to ``target`` or, if it is taken, capture there."""
    turn, occupied = board.turn, board.occupied
    if occupied >> target & 1:
        return chess.BB_PAWN_ATTACKS[not turn][target] & board.pawns
    behind = target - 8 if turn else target + 8
    if not 0 <= behind < 64:
        return 0
    if occupied >> behind & 1:
        return chess.BB_SQUARES[behind] & board.pawns
    if target >> 3 != (3 if turn else 4):
        return 0
    return chess.BB_SQUARES[2 * behind - target] & board.pawns


def _is_safe(board: chess.Board, kind: int, origin: int, target: int) -> bool:
    """Whether the king is not attacked once the piece on ``origin`` (a bit) is on ``target``."""
    turn, there = board.turn, chess.BB_SQUARES[target]
    ours = board.occupied_co[turn]
    king = target if kind == chess.KING else (board.kings & ours).bit_length() - 1
    theirs = board.occupied_co[not turn] & ~there
    occupied = board.occupied & ~origin | there
    lines, slants = theirs & (board.rooks | board.queens), theirs & (board.bishops | board.queens)
    return not (
        chess.BB_DIAG_ATTACKS[king][chess.BB_DIAG_MASKS[king] & occupied] & slants
        or chess.BB_RANK_ATTACKS[king][chess.BB_RANK_MASKS[king] & occupied] & lines
        or chess.BB_FILE_ATTACKS[king][chess.BB_FILE_MASKS[king] & occupied] & lines
        or chess.BB_KNIGHT_ATTACKS[king] & board.knights & theirs
        or chess.BB_PAWN_ATTACKS[turn][king] & board.pawns & theirs
        or chess.BB_KING_ATTACKS[king] & board.kings & theirs
    )
