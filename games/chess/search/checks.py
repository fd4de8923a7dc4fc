"""Mates by checks alone: the short forced wins that a search guided by habit finds last."""

from collections.abc import Callable, Sequence

import chess

from agentd.games.chess.search.settings import Budget, BudgetSpent, never


def checking_moves(board: chess.Board, moves: Sequence[chess.Move]) -> list[chess.Move]:
    """Return those of the legal ``moves`` that give check, in their order."""
    king = board.king(not board.turn)
    if king is None:
        return []
    line = chess.BB_RANK_ATTACKS[king][chess.BB_RANK_MASKS[king] & board.occupied]
    line |= chess.BB_FILE_ATTACKS[king][chess.BB_FILE_MASKS[king] & board.occupied]
    slant = chess.BB_DIAG_ATTACKS[king][chess.BB_DIAG_MASKS[king] & board.occupied]
    pawn = chess.BB_PAWN_ATTACKS[not board.turn][king]
    reach = (0, pawn, chess.BB_KNIGHT_ATTACKS[king], slant, line, line | slant, 0)
    lifted = _screens(board, king)
    found = []
    for move in moves:
        kind = board.piece_type_at(move.from_square) or 0
        castles = kind == chess.KING and abs(move.from_square - move.to_square) == 2
        if move.promotion or castles or lifted >> move.from_square & 1:
            if board.gives_check(move):
                found.append(move)
        elif reach[kind] >> move.to_square & 1 or (
            kind == chess.PAWN and move.to_square == board.ep_square and board.gives_check(move)
        ):
            found.append(move)
    return found


def _screens(board: chess.Board, king: chess.Square) -> int:
    """Squares of the mover's pieces that stand between its own sliders and the other's king."""
    mine = board.occupied_co[board.turn]
    straight = chess.BB_RANK_ATTACKS[king][0] | chess.BB_FILE_ATTACKS[king][0]
    snipers = straight & (board.rooks | board.queens)
    snipers |= chess.BB_DIAG_ATTACKS[king][0] & (board.bishops | board.queens)
    found = 0
    for sniper in chess.scan_forward(snipers & mine):
        between = chess.between(king, sniper) & board.occupied
        if between & mine and not between & (between - 1):
            found |= between
    return found


def mating_move(board: chess.Board, checks: Sequence[chess.Move]) -> chess.Move | None:
    """Return the first of the legal ``checks`` that gives mate at once, None where none does."""
    for move in checks:
        board.push(move)
        mated = not any(board.generate_legal_moves())
        board.pop()
        if mated:
            return move
    return None


def not_mated(board: chess.Board, moves: Sequence[chess.Move]) -> list[chess.Move]:
    """Return those of the legal ``moves`` that no mate follows at once; all if one always does."""
    kept = []
    for move in moves:
        board.push(move)
        if mating_move(board, checking_moves(board, list(board.legal_moves))) is None:
            kept.append(move)
        board.pop()
    return kept or list(moves)


def forced_mate(
    board: chess.Board,
    moves: int,
    budget: int = 2_000,
    should_stop: Callable[[], bool] = never,
) -> list[chess.Move]:
    """Return the shortest mate in at most ``moves`` moves of which each gives check; [] for none.

    The line holds the other side's longest defence too. ``budget`` bounds the positions looked at,
    and ``should_stop`` the time: then there is none.
    """
    left = Budget(budget, should_stop)
    board = board.copy(stack=False)
    for depth in range(1, moves + 1):
        try:
            line = _attack(board, depth, left)
        except BudgetSpent:
            return []
        if line:
            return line
    return []


def _attack(board: chess.Board, moves: int, left: Budget) -> list[chess.Move]:
    for move in checking_moves(board, list(board.generate_legal_moves())):
        left.spend()
        board.push(move)
        line = _defend(board, moves, left)
        board.pop()
        if line is not None:
            return [move, *line]
    return []


def _defend(board: chess.Board, moves: int, left: Budget) -> list[chess.Move] | None:
    """Return the longest line to the mate of the side that moves, in check; None: it lives."""
    answers = list(board.generate_legal_moves())
    if answers and moves == 1:
        return None
    longest: list[chess.Move] = []
    for answer in answers:
        board.push(answer)
        line = _attack(board, moves - 1, left)
        board.pop()
        if not line:
            return None
        if len(line) >= len(longest):
            longest = [answer, *line]
    return longest
