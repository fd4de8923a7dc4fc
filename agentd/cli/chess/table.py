"""The table where a person plays: reads moves and commands, shows the board, keeps the game.

The games of a sitting are on the disk after every move, so that nothing ends them: not Ctrl-C, not
a daemon that dies, not a file that cannot be written.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import chess
from rich.console import RenderableType
from rich.text import Text

from agentd.chess.play.opponents import Advice, Policy
from agentd.cli.chess.board_view import draw_board
from agentd.errors import StorageError
from agentd.games.chess.play.notation import (
    NotPlayable,
    claim,
    ending,
    read_move,
    read_pgn,
    read_position,
    write_pgn,
)
from agentd.store import write_file

HELP = """a move        e4, Nf3, exd5, O-O, e8=Q, or e2e4, e7e8q
undo          take back your last move and the answer to it
hint, eval    what the bot would play for you; how it sees the position
draw          claim a draw where the rules give one, else offer it
resign        give up
flip, board   turn the board; show it again
moves         the game so far
fen [FEN]     the position, or begin a new game from one
save FILE     write the game as PGN, save! FILE over what is there; load FILE goes on with one
new           begin again
quit          leave"""
ACCEPTS = 0.52
"""Expected score up to which the bot takes an offered draw: where it sees itself no better."""

Ask = Callable[[str], str | None]
"""Shows a prompt and returns a line; None when there are no more."""


@dataclass
class Table:
    """One person, one policy. ``human`` is the person's colour; ``board`` may have a past.

    save_to   where the games are kept as they grow, one after the other
    spare     where instead, if that fails
    fault     why it failed
    """

    policy: Policy
    ask: Ask
    show: Callable[[RenderableType], None]
    human: chess.Color = chess.WHITE
    board: chess.Board = field(default_factory=chess.Board)
    flip: bool = False
    ascii_only: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    save_to: Path | None = None
    spare: Path | None = None
    fault: StorageError | None = None
    result: str = "*"
    _earlier: str = ""
    """PGN of the games before this one."""
    _written: set[Path] = field(default_factory=set)
    """Files that this game was saved in: it may be saved there again."""

    def play(self) -> str:
        """Play until the person leaves; return the last game's result, "*" for unfinished."""
        self._show_board()
        self._check_end()
        while True:
            if self.result == "*" and self.board.turn != self.human:
                self._answer()
                continue
            line = self.ask(self._prompt())
            if line is None or line.strip().lower() in ("quit", "exit", "q"):
                break
            try:
                self._obey(line.strip())
            except (NotPlayable, StorageError) as reason:
                self.show(Text(f"{reason}"))
        if self.result == "*":
            self.policy.ended(self.board, None)
        return self.result

    def _prompt(self) -> str:
        if self.result != "*":
            return "game over (new, save FILE, quit)> "
        side = "White" if self.human else "Black"
        return f"{self.board.fullmove_number}. {side}> "

    def _obey(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        command = _COMMANDS.get(word.lower())
        if command is not None:
            command(self, rest.strip())
        elif line and self.result != "*":
            raise NotPlayable("the game is over: new, undo, save FILE or quit")
        elif line:
            try:
                self._push(read_move(line, self.board))
            except NotPlayable as reason:
                near = difflib.get_close_matches(word.lower(), _COMMANDS, 1, 0.75)
                raise NotPlayable(f"{reason}" + (f"; or {near[0]}?" if near else "")) from None

    def _push(self, move: chess.Move) -> None:
        self.board.push(move)
        self._keep()
        self._show_board()
        self._check_end()

    def _answer(self) -> None:
        advice = self.policy.choose(self.board)
        san = self.board.san(advice.move)
        number = f"{self.board.fullmove_number}." + ("" if self.board.turn else "..")
        self.show(Text(f"{self.policy.name} plays {number} {san}"))
        self._push(advice.move)

    def _check_end(self) -> None:
        found = ending(self.board)
        if found is not None and self.result == "*":
            self._end(*found)

    def _end(self, result: str, why: str) -> None:
        """End the game; the policy learns its score, and the game is written."""
        self.result = result
        self._keep()
        self.show(Text(f"{result}  {why}", style="bold"))
        white = {"1-0": 1.0, "0-1": -1.0}.get(result, 0.0)
        self.policy.ended(self.board, -white if self.human else white)

    def _begin(self, board: chess.Board) -> None:
        if self.board.move_stack:
            self._earlier += self._pgn()
        self._written.clear()
        if self.result == "*":
            self.policy.ended(self.board, None)
        self.board, self.result = board, "*"
        self._show_board()
        self._check_end()

    def _show_board(self) -> None:
        self.show(draw_board(self.board, flip=self.flip, ascii_only=self.ascii_only))

    def _pgn(self) -> str:
        return write_pgn(self.board, self.tags, self.result)

    def _keep(self) -> None:
        """Write the games so far; where that fails the game goes on, and is kept elsewhere."""
        if self.save_to is None or not self.board.move_stack:
            return
        try:
            write_file(self.save_to, (self._earlier + self._pgn()).encode())
        except StorageError as fault:
            self.fault = self.fault or fault
            self.show(Text(f"the game cannot be kept: {fault}"))
            self.save_to, self.spare = self.spare, None
            self._keep()

    # -- commands -----------------------------------------------------------------------------

    def _help(self, _: str) -> None:
        self.show(Text(HELP))

    def _board_again(self, _: str) -> None:
        self._show_board()

    def _undo(self, _: str) -> None:
        theirs = 2 if self.board.turn == self.human else 1  # after a mate nobody has answered
        if len(self.board.move_stack) < theirs:
            raise NotPlayable("there is no move of yours to take back")
        for _each in range(theirs):
            self.board.pop()
        self.result = "*"
        self._keep()
        self.policy.taken_back()
        self._show_board()

    def _resign(self, _: str) -> None:
        self._need_a_game()
        self._end("0-1" if self.human else "1-0", "you resign")

    def _draw(self, _: str) -> None:
        self._need_a_game()
        right = claim(self.board)
        if right is not None:
            self._end("1/2-1/2", f"draw claimed: {right}")
            return
        win = self.policy.advise(self.board).win
        if win is None or 1 - win > ACCEPTS:
            raise NotPlayable("no rule gives you a draw yet, and the bot plays on")
        self._end("1/2-1/2", "draw agreed")

    def _hint(self, _: str) -> None:
        self._need_a_game()
        advice = self.policy.advise(self.board)
        self.show(Text(f"hint: {self.board.san(advice.move)}"))

    def _eval(self, _: str) -> None:
        self._need_a_game()
        self.show(Text(tell(self.board, self.policy.advise(self.board))))

    def _flip(self, _: str) -> None:
        self.flip = not self.flip
        self._show_board()

    def _moves(self, _: str) -> None:
        start = self.board.root()
        self.show(Text(start.variation_san(self.board.move_stack) or "no move was made yet"))

    def _fen(self, text: str) -> None:
        if text:
            self._begin(read_position(text))
        else:
            self.show(Text(self.board.fen()))

    def _save_as(self, name: str) -> None:
        path = Path(name).expanduser()
        if name and path.exists() and path not in self._written:
            raise NotPlayable(f"{name} is there already: `save! {name}` writes over it")
        self._save_over(name)

    def _save_over(self, name: str) -> None:
        if not name:
            raise NotPlayable("save FILE: where to?")
        if not self.board.move_stack:
            raise NotPlayable("no move was made yet")
        path = Path(name).expanduser()
        write_file(path, self._pgn().encode())
        self._written.add(path)
        self.show(Text(f"saved in {path}"))

    def _load(self, name: str) -> None:
        try:
            text = Path(name).expanduser().read_bytes().decode("utf-8", "replace")
        except OSError as error:
            raise NotPlayable(f"{name or 'load FILE'}: {error.strerror}") from None
        self._begin(read_pgn(text))

    def _new(self, _: str) -> None:
        self._begin(chess.Board())

    def _need_a_game(self) -> None:
        if self.result != "*":
            raise NotPlayable("the game is over")


def tell(board: chess.Board, advice: Advice) -> str:
    """An evaluation in words: the mover's expected score, and what is expected to happen."""
    side = "White" if board.turn else "Black"
    if advice.win is None:
        return "the bot does not say"
    line = board.variation_san(advice.line) if advice.line else ""
    return f"{side} to move scores {advice.win:.0%} ({advice.score})  {line}"


_COMMANDS: dict[str, Callable[[Table, str], None]] = {
    "help": Table._help,
    "?": Table._help,
    "undo": Table._undo,
    "back": Table._undo,
    "resign": Table._resign,
    "draw": Table._draw,
    "hint": Table._hint,
    "eval": Table._eval,
    "flip": Table._flip,
    "board": Table._board_again,
    "moves": Table._moves,
    "fen": Table._fen,
    "save": Table._save_as,
    "save!": Table._save_over,
    "pgn": Table._save_as,
    "load": Table._load,
    "new": Table._new,
}
