"""Endings against a bare king, won without the network: alpha-beta on the room that is left to it.

A network learns little of them, since people resign; and where every move keeps the win, a search
by visits cannot tell which makes progress. Here the bare king's room is the squares that it could
walk to with all other pieces standing still: less room, the edge, and the other king near are
progress, and a few plies of them are enough to mate with a queen, a rook, and mostly two bishops.
"""

from collections.abc import Callable, Set
from dataclasses import dataclass

import chess

from agentd.games.chess.search.settings import Budget, BudgetSpent, never
from agentd.games.chess.search.tree import Key, position_key

_PER_SQUARE, _PER_KING, _PER_STEP = 2, 2, 3
"""Worth of a square of room less, of a step between the kings, of a step to the edge."""
_MATE, _DRAW = 100_000, -100_000
_DEEPEST = 15


@dataclass(frozen=True, slots=True)
class Drive:
    """What to play against a bare king: ``mate`` is in how many plies, None where it is not seen;
    ``depth`` the plies searched whole, ``nodes`` the positions looked at."""

    move: chess.Move
    mate: int | None
    depth: int
    nodes: int


def faces_bare_king(board: chess.Board) -> bool:
    """Whether the side to move can force mate, and the other has nothing but its king."""
    own, bare = board.occupied_co[board.turn], board.occupied_co[not board.turn]
    return not bare & (bare - 1) and _can_mate(board, own)


def drive(
    board: chess.Board,
    past: Set[Key],
    budget: int,
    should_stop: Callable[[], bool] = never,
) -> Drive:
    """Return the move of the side that ``faces_bare_king``; there must be one.

    ``past`` are positions that shall not come back. ``budget`` bounds the positions looked at, and
    ``should_stop`` the time; what was searched whole by then counts, and of the first ply as many
    moves as were looked at.
    """
    search = _Search(board.copy(stack=False), past, Budget(budget, should_stop))
    moves = list(board.legal_moves)
    found = Drive(moves[0], None, 0, 0)
    for depth in range(1, _DEEPEST + 1, 2):
        values: dict[chess.Move, int] = {}
        try:
            search.weigh(moves, depth, values)
        except BudgetSpent:
            if depth > 1 or not values:
                break
        moves.sort(key=lambda move: values.get(move, _DRAW), reverse=True)
        best = values[moves[0]]
        mate = _MATE - best if best > _MATE // 2 else None
        found = Drive(moves[0], mate, depth, budget - search.budget.left)
        if mate is not None or len(values) < len(moves):
            break
    return found


class _Search:
    """Values are the stronger side's; mates sooner are worth more."""

    def __init__(self, board: chess.Board, past: Set[Key], budget: Budget) -> None:
        self._board, self._past, self.budget = board, past, budget
        self._color = board.turn

    def weigh(self, moves: list[chess.Move], depth: int, values: dict[chess.Move, int]) -> None:
        """Write into ``values`` what each of the root's ``moves`` is worth, one after the other.

        What is worse than an earlier move is worth at most this. Raises BudgetSpent.
        """
        best = _DRAW - 1
        for move in moves:
            self._board.push(move)
            values[move] = self._weaker(depth - 1, best, _MATE, 1)
            self._board.pop()
            best = max(best, values[move])

    def _stronger(self, depth: int, alpha: int, beta: int, ply: int) -> int:
        best = _DRAW
        for move in self._board.generate_legal_moves():
            self._board.push(move)
            best = max(best, self._weaker(depth - 1, max(alpha, best), beta, ply + 1))
            self._board.pop()
            if best >= beta:
                break
        return best

    def _weaker(self, depth: int, alpha: int, beta: int, ply: int) -> int:
        self.budget.spend()
        board, own = self._board, self._board.occupied_co[self._color]
        if position_key(board) in self._past:
            return _DRAW
        moves = list(board.generate_legal_moves())
        if not moves:
            return _MATE - ply if board.is_check() else _DRAW
        if depth <= 0:
            hangs = any(own >> move.to_square & 1 for move in moves)
            return _DRAW if hangs else _progress(board, self._color)
        worst = _MATE
        for move in moves:
            board.push(move)
            lost = own >> move.to_square & 1 and not _can_mate(board, own)
            value = _DRAW if lost else self._stronger(depth - 1, alpha, min(beta, worst), ply + 1)
            board.pop()
            worst = min(worst, value)
            if worst <= alpha:
                break
        return worst


def _can_mate(board: chess.Board, own: int) -> bool:
    if (board.rooks | board.queens) & own:
        return True
    bishops = board.bishops & own
    pair = bishops & chess.BB_LIGHT_SQUARES and bishops & chess.BB_DARK_SQUARES
    return bool(pair or (bishops and board.knights & own))


def _progress(board: chess.Board, color: chess.Color) -> int:
    """How far the other side's bare king is driven."""
    own = board.occupied_co[color]
    lone, king = chess.lsb(board.occupied_co[not color]), chess.lsb(board.kings & own)
    steps = _from_middle(chess.square_file(lone)) + _from_middle(chess.square_rank(lone))
    return (
        _PER_SQUARE * (64 - _room(board, own, lone).bit_count())
        + _PER_KING * (14 - chess.square_manhattan_distance(lone, king))
        + _PER_STEP * steps
    )


def _from_middle(line: int) -> int:
    """Steps of a file or rank 0 to 7 from the middle two."""
    return max(3 - line, line - 4)


def _room(board: chess.Board, own: int, lone: chess.Square) -> int:
    """Return the squares that the bare king on ``lone`` can walk to while nothing else moves."""
    free = ~_attacked(board, own, board.occupied & ~chess.BB_SQUARES[lone])
    room, wider = 0, chess.BB_SQUARES[lone]
    while wider != room:
        room = wider
        row = room | (room & ~chess.BB_FILE_H) << 1 | (room & ~chess.BB_FILE_A) >> 1
        wider = room | (row | row << 8 | row >> 8) & chess.BB_ALL & free
    return room


def _attacked(board: chess.Board, own: int, occupied: int) -> int:
    """Return what the pieces in ``own``, pawns left out, attack if the board is so ``occupied``."""
    found = 0
    for square in chess.scan_forward(own & (board.bishops | board.queens)):
        found |= chess.BB_DIAG_ATTACKS[square][chess.BB_DIAG_MASKS[square] & occupied]
    for square in chess.scan_forward(own & (board.rooks | board.queens)):
        found |= chess.BB_RANK_ATTACKS[square][chess.BB_RANK_MASKS[square] & occupied]
        found |= chess.BB_FILE_ATTACKS[square][chess.BB_FILE_MASKS[square] & occupied]
    for square in chess.scan_forward(own & board.knights):
        found |= chess.BB_KNIGHT_ATTACKS[square]
    return found | chess.BB_KING_ATTACKS[chess.lsb(own & board.kings)]
