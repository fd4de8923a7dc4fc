"""A game of chess as people play it: typed moves and why one is refused, endings, claims, PGN."""

import io
import re
from collections.abc import Mapping

import chess
import chess.pgn

NUMBER = re.compile(r"\d+\s*(\.|…)[.…\s]*")
TAIL = re.compile(r"(\s*e\.?p\.?)?\s*[+#!?]*$")
PROMOTION = r"(?:[=/(]?([qrbnQRBN])\)?)?$"
UCI_MOVE = re.compile(rf"([a-h][1-8])[-x:]?([a-h][1-8]){PROMOTION}")
SAN_MOVE = re.compile(rf"([KQRBN]?)([a-h]?[1-8]?)[-x:]?([a-h][1-8]){PROMOTION}")
PAWN_TAKES = re.compile(rf"([a-h])[x:]?([a-h]){PROMOTION}")
CASTLING = re.compile(r"[0Oo]-?[0Oo](-?[0Oo])?$")
STANDARD = {"", "?", "standard", "chess", "from position", "normal"}
"""What a PGN's tag Variant says of games that are none."""
SIDES = ("Black", "White")


class NotPlayable(ValueError):
    """A move, a position or a game that nobody can play; the text says why."""


def read_move(text: str, board: chess.Board) -> chess.Move:
    """Return the legal move that ``text`` means, as SAN, as UCI, or as people write either.

    A move's number, its comments (``!``, ``+``, ``e.p.``) and dashes may be there or not; ``ed`` is
    a pawn's capture. Raises NotPlayable.
    """
    typed = text.strip()
    text = TAIL.sub("", NUMBER.sub("", typed, count=1) if NUMBER.match(typed) else typed)
    if found := UCI_MOVE.match(text):
        return _read_uci(found, board)
    if found := CASTLING.match(text):
        return _read_castling(found[1] is not None, board)
    if found := PAWN_TAKES.match(text):
        return _read_pawn_takes(found, board)
    found = SAN_MOVE.match(text) or SAN_MOVE.match(text[:1].upper() + text[1:])
    if not found:
        raise NotPlayable(f"cannot read {typed[:20]!r}: write a move as e4, Nf3, O-O, e8=Q or e2e4")
    try:
        return _read_san(found, board)
    except NotPlayable:
        bishop = SAN_MOVE.match("B" + text[1:]) if text.startswith("b") else None
        if bishop is None or not _is_legal(bishop, board):
            raise
        return _read_san(bishop, board)  # bc4, where no pawn can go there


def _read_uci(found: re.Match[str], board: chess.Board) -> chess.Move:
    origin, target = (chess.parse_square(name) for name in found.groups()[:2])
    piece = board.piece_at(origin)
    if piece is None:
        raise NotPlayable(f"there is no piece on {found[1]}")
    if piece.color != board.turn:
        raise NotPlayable(f"the {chess.piece_name(piece.piece_type)} on {found[1]} is not yours")
    moves = [
        move for move in board.legal_moves if (move.from_square, move.to_square) == (origin, target)
    ]
    if not moves:
        raise NotPlayable(_why_not(board, piece.piece_type, [origin], target))
    return _promote(moves, found[3] or "", text=found[0])


def _read_castling(long: bool, board: chess.Board) -> chess.Move:
    for move in board.legal_moves:
        if board.is_castling(move) and board.is_queenside_castling(move) == long:
            return move
    side = "queen's" if long else "king's"
    if not board.castling_rights & chess.BB_RANKS[0 if board.turn else 7]:
        raise NotPlayable("you may not castle any more")
    if board.is_check():
        raise NotPlayable("you are in check: nobody castles out of it")
    raise NotPlayable(f"you may not castle to the {side} side now")


def _read_san(found: re.Match[str], board: chess.Board) -> chess.Move:
    kind = chess.PIECE_SYMBOLS.index(found[1].lower()) if found[1] else chess.PAWN
    target = chess.parse_square(found[3])
    of_kind = board.pieces(kind, board.turn)
    if not of_kind:
        raise NotPlayable(f"you have no {chess.piece_name(kind)}")
    from_here = [square for square in of_kind if _fits(square, found[2])]
    if not from_here:
        raise NotPlayable(f"you have no {chess.piece_name(kind)} on {found[2]}")
    moves = [m for m in board.legal_moves if m.from_square in from_here and m.to_square == target]
    if kind == chess.PAWN and not found[2]:  # e4 is no capture
        moves = [m for m in moves if not board.is_capture(m)]
    if kind == chess.KING:
        moves = [m for m in moves if not board.is_castling(m)]
    if not moves:
        raise NotPlayable(_why_not(board, kind, from_here, target))
    if len({move.from_square for move in moves}) > 1:
        names = " or ".join(sorted({board.san(move) for move in moves}))
        raise NotPlayable(f"{found[0]} is ambiguous: {names}")
    return _promote(moves, found[4] or "", text=found[0])


def _is_legal(found: re.Match[str], board: chess.Board) -> bool:
    try:
        _read_san(found, board)
    except NotPlayable:
        return False
    return True


def _read_pawn_takes(found: re.Match[str], board: chess.Board) -> chess.Move:
    """``ed``: the pawn's capture from one file to another, if there is one only."""
    origin, target = (chess.FILE_NAMES.index(name) for name in found.groups()[:2])
    moves = [
        move
        for move in board.legal_moves
        if board.piece_type_at(move.from_square) == chess.PAWN and board.is_capture(move)
        if (chess.square_file(move.from_square), chess.square_file(move.to_square))
        == (origin, target)
    ]
    if not moves:
        raise NotPlayable(f"no pawn of yours on {found[1]} can take on {found[2]}")
    if len({move.to_square for move in moves}) > 1:
        names = " or ".join(sorted({board.san(move) for move in moves}))
        raise NotPlayable(f"{found[0]} is ambiguous: {names}")
    return _promote(
        moves, found[3] or "", text=f"{found[1]}x{chess.square_name(moves[0].to_square)}"
    )


def _fits(square: int, hint: str) -> bool:
    """Whether ``square`` is the one, or on the file or rank, that ``hint`` names."""
    return all(letter in chess.square_name(square) for letter in hint)


def _promote(moves: list[chess.Move], piece: str, text: str) -> chess.Move:
    """The one of ``moves`` (one origin, one target) that promotes to ``piece``."""
    wanted = chess.PIECE_SYMBOLS.index(piece.lower()) if piece else None
    for move in moves:
        if move.promotion == wanted:
            return move
    if wanted is None:
        raise NotPlayable(
            f"to what does the pawn promote? write {text.rstrip('+#!?')}=Q, =R, =B or =N"
        )
    raise NotPlayable("only a pawn that reaches the last rank promotes")


def _why_not(board: chess.Board, kind: int, origins: list[int], target: int) -> str:
    """The reason why no piece of ``kind`` on ``origins`` may go to ``target``."""
    name, goal = chess.piece_name(kind), chess.square_name(target)
    pseudo = [
        m for m in board.pseudo_legal_moves if m.from_square in origins and m.to_square == target
    ]
    if pseudo and kind == chess.KING:
        return f"your king would be in check on {goal}"
    if pseudo and board.is_check():
        return "you are in check, and that does not help"
    if pseudo:
        return f"that would leave your king in check: the {name} is pinned"
    own = board.piece_at(target)
    if own is not None and own.color == board.turn:
        return f"your own {chess.piece_name(own.piece_type)} is on {goal}"
    if len(origins) == 1:
        return f"the {name} on {chess.square_name(origins[0])} cannot go to {goal}"
    return f"no {name} of yours can go to {goal}"


def read_position(fen: str) -> chess.Board:
    """Return the board of a FEN. Raises NotPlayable for one that is none or cannot come about."""
    try:
        board = chess.Board(fen)
    except ValueError as error:
        raise NotPlayable(f"no FEN: {error}") from None
    status = board.status()
    if status != chess.STATUS_VALID:
        first = next(flag for flag in chess.Status if flag & status)
        raise NotPlayable(f"no possible position: {str(first.name).lower().replace('_', ' ')}")
    return board


def ending(board: chess.Board) -> tuple[str, str] | None:
    """Return (result, why) where the game is over by itself, None where it goes on."""
    outcome = board.outcome()
    if outcome is None:
        return None
    name = outcome.termination.name.lower().replace("_", " ")
    if outcome.winner is not None:
        return outcome.result(), f"{name}, {SIDES[outcome.winner]} wins"
    counted = {"seventyfive moves": "75 moves without a capture or a pawn's move"}
    counted["fivefold repetition"] = "the position came about five times"
    return outcome.result(), f"draw: {counted.get(name, name)}"


def claim(board: chess.Board) -> str | None:
    """Return why the mover may claim a draw, None where he may not."""
    if board.can_claim_fifty_moves():
        return "50 moves without a capture or a pawn's move"
    return (
        "the position comes about three times" if board.can_claim_threefold_repetition() else None
    )


def write_pgn(board: chess.Board, tags: Mapping[str, str], result: str = "*") -> str:
    """Return the game on ``board``'s move stack as PGN."""
    game = chess.pgn.Game.from_board(board)
    game.headers.update({**tags, "Result": result})
    return f"{game}\n\n"


def read_pgn(text: str) -> chess.Board:
    """Return the board after the main line of the first game in ``text``.

    Raises NotPlayable, also for a variant of chess, named or by its first position.
    """
    game = chess.pgn.read_game(io.StringIO(text), Visitor=_Strict)
    if game is None or (not game.variations and not game.headers.get("FEN")):
        raise NotPlayable("there is no game in it")
    try:
        return game.end().board()
    except ValueError as error:
        raise NotPlayable(f"no game that can be replayed: {error}") from None


class _Strict(chess.pgn.GameBuilder[chess.pgn.Game]):
    """Builds a game, and refuses what it cannot read instead of leaving it out."""

    def __init__(self) -> None:
        super().__init__(Game=chess.pgn.Game)

    def end_headers(self) -> None:
        headers = self.game.headers
        name = headers.get("Variant", "").strip()
        if name.lower() not in STANDARD:
            raise NotPlayable(f"a game of {name}: only standard chess is played here")
        if "FEN" in headers:
            try:
                read_position(headers["FEN"])
            except NotPlayable as reason:
                self.handle_error(reason)

    def handle_error(self, error: Exception) -> None:
        raise NotPlayable(f"no game that can be replayed: {error}")
