"""Captures played out: what a shallow look at a position must not overlook.

``exchange_gain`` is a quiescence search on material alone: how many centipawns the mover can win by
captures and promotions from here, both sides free to stop. A network that reads a position once
misses exactly this; the search adds it to the network's value.
"""

from collections.abc import Iterator

import chess

VALUE = (0, 100, 320, 330, 500, 900, 10_000)
"""Centipawns of each piece by python-chess's number (pawn 1 to king 6)."""
MAX_PLIES = 8
MAX_POSITIONS = 300
"""Looked at before what is known counts. In people's games, also one or two random moves off, none
of 4,475 positions took more than 244; boards full of queens would take thousands."""
_DEAREST_FIRST = (chess.QUEEN, chess.ROOK, chess.BISHOP, chess.KNIGHT, chess.PAWN)


def material(board: chess.Board) -> int:
    """Return the mover's material less the other side's, in centipawns, kings aside."""
    mine, theirs = board.occupied_co[board.turn], board.occupied_co[not board.turn]
    kinds = (board.pawns, board.knights, board.bishops, board.rooks, board.queens)
    return sum(
        value * ((kind & mine).bit_count() - (kind & theirs).bit_count())
        for kind, value in zip(kinds, VALUE[1:], strict=False)
    )


def exchange_gain(board: chess.Board) -> int:
    """Return what the mover wins in centipawns by captures; below 0 only for a mover in check.

    A mover in check must answer it and may not stop, so there every legal answer is tried.
    A checkmated mover gets the king's value, negative. The board is as before on return.
    """
    left = [MAX_POSITIONS]
    if not board.is_check():
        return _gain(board, 0, VALUE[chess.KING], MAX_PLIES, left)
    best = -VALUE[chess.KING]
    for move in list(board.generate_legal_moves()):
        won = _won(board, move)
        board.push(move)
        theirs = _gain(board, -VALUE[chess.KING], won - best, MAX_PLIES - 1, left)
        best = max(best, won - theirs)
        board.pop()
    return best


def _gain(board: chess.Board, alpha: int, beta: int, plies: int, left: list[int]) -> int:
    """Alpha-beta over captures from the mover's view; standing still is worth 0.

    ``left`` holds how many positions may still be looked at; none left is standing still.
    """
    alpha = max(alpha, 0)
    left[0] -= 1
    if alpha >= beta or plies == 0 or left[0] < 0:
        return alpha
    for hope, move in _captures(board):
        if hope <= alpha:  # even for nothing it would not be enough
            if move.promotion:
                continue
            break  # captures come sorted: the rest hope for less
        board.push(move)
        if not board.was_into_check():
            theirs = _gain(board, hope - beta, hope - alpha, plies - 1, left)
            alpha = max(alpha, hope - theirs)
        board.pop()
        if alpha >= beta:
            break
    return alpha


def _captures(board: chess.Board) -> Iterator[tuple[int, chess.Move]]:
    """Yield pseudo-legal promotions and captures with what each takes, the best prize first.

    A piece is not offered for a cheaper one that a pawn guards: that loses on the next half-move.
    Cheap takers come before dear ones.
    """
    turn = board.turn
    mine, theirs = board.occupied_co[turn], board.occupied_co[not turn]
    guarded = _pawn_reach(board.pawns & theirs, not turn)
    ready = board.pawns & mine & (chess.BB_RANK_7 if turn else chess.BB_RANK_2)
    if ready:
        yield from _promotions(board, ready, theirs)
    own = (board.pawns, board.knights, board.bishops, board.rooks, board.queens, board.kings)
    for prize in _DEAREST_FIRST:
        for target in chess.scan_forward(own[prize - 1] & theirs):
            takers = board.attackers_mask(turn, target) & ~ready
            if not takers:
                continue
            won = VALUE[prize]
            most = won + VALUE[chess.PAWN] if guarded >> target & 1 else VALUE[chess.KING]
            for kind, taking in enumerate(own, 1):
                if VALUE[kind] > most:
                    break
                for origin in chess.scan_forward(taking & takers):
                    yield won, chess.Move(origin, target)


def _promotions(board: chess.Board, ready: int, theirs: int) -> list[tuple[int, chess.Move]]:
    """Promotions to a queen by the pawns ``ready``, the best prize first."""
    last = chess.BB_RANK_8 if board.turn else chess.BB_RANK_1
    found = [
        (_won(board, move), move)
        for move in board.generate_pseudo_legal_moves(ready, last & (theirs | ~board.occupied))
        if move.promotion == chess.QUEEN
    ]
    return sorted(found, key=lambda capture: -capture[0])


def _won(board: chess.Board, move: chess.Move) -> int:
    """Centipawns on the board that ``move`` takes and makes."""
    taken = board.piece_type_at(move.to_square) or 0
    if taken and board.occupied_co[board.turn] & chess.BB_SQUARES[move.to_square]:
        taken = 0  # castling in Chess960's way of writing
    return VALUE[taken] + (VALUE[move.promotion] - VALUE[chess.PAWN] if move.promotion else 0)


def _pawn_reach(pawns: int, white: bool) -> int:
    """Squares that the pawns of one side attack."""
    if white:
        return (pawns & ~chess.BB_FILE_A) << 7 | (pawns & ~chess.BB_FILE_H) << 9
    return (pawns & ~chess.BB_FILE_A) >> 9 | (pawns & ~chess.BB_FILE_H) >> 7
