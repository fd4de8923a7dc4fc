"""A UCI engine: one GUI's conversation.

The caller's thread reads commands and answers them at once; a search runs in a thread of its own
and writes ``info`` lines and one ``bestmove``, whatever ends it.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import chess

from agentd import __version__
from agentd.chess.play.book import Book
from agentd.chess.play.clock import Clock, Overheads
from agentd.chess.play.level import set_level
from agentd.chess.play.uci_options import NO_MODEL, OPTIONS, UciOptions
from agentd.chess.play.uci_words import Go, parse_go, parse_position, parse_setoption
from agentd.errors import AgentdError
from agentd.games.chess.search.search import Search
from agentd.games.chess.search.settings import Evaluator, Result, SearchInfo

_FORCED_NODES = 16
"""Visits of a forced move against the clock: enough for a score and a reply to ponder on."""
Load = Callable[[str | None, int | None], Evaluator]


class UciSession:
    """Commands in, lines out."""

    def __init__(self, write: Callable[[str], None], load: Load, model: str | None = None) -> None:
        """``write`` takes whole lines; ``load`` opens a model at a rating, or raises why not.

        It is called when the model is first needed, after ``uci`` has been answered.
        """
        self._options = UciOptions(Model=model or NO_MODEL)
        self._write_line, self._lock = write, threading.Lock()
        self._load, self._model = load, model
        self._book = Book()
        self._board: chess.Board | None = chess.Board()
        self._search: Search | None = None
        self._playing: tuple[str | None, int | None, int] | None = None
        self._run: SearchThread | None = None
        self._reading = 0.0  # seconds that the last position took to read, on the GUI's clock
        self._overheads = Overheads()
        self._level = 100

    def run(self, lines: Iterable[str]) -> None:
        """Answer ``lines`` until ``quit`` or their end; a search that runs then is stopped."""
        try:
            for line in lines:
                if not self.answer(line):
                    break
        finally:
            self._halt()

    def answer(self, line: str) -> bool:
        """Carry out one command; return False after ``quit``. Unknown words are skipped."""
        words = line.split()
        while words and words[0] not in _COMMANDS:
            words = words[1:]
        if not words:
            return True
        if words[0] == "quit":
            return False
        try:
            _COMMANDS[words[0]](self, words[1:])
        except ValueError as error:
            self._complain(error)
        except AgentdError as error:
            self._complain(error)
            if self._search is None and self._options.model == self._model:
                raise  # the command itself names what is no model, and ends with this reason
        return True

    # -- commands -----------------------------------------------------------------------------

    def _uci(self, _: Sequence[str]) -> None:
        self._say(f"id name agentd {__version__}", "id author The agentd developers")
        self._say(*self._options.announce(), "uciok")

    def _isready(self, _: Sequence[str]) -> None:
        try:
            if self._run is None or self._run.done:
                self._ready()
        finally:  # also where the model cannot be read: a GUI waits for it
            self._say("readyok")

    def _ucinewgame(self, _: Sequence[str]) -> None:
        self._halt()
        self._begin_game()

    def _position(self, words: Sequence[str]) -> None:
        self._board = None  # after a refusal nothing may be played
        began = time.monotonic()
        self._board = parse_position(words)
        self._reading = time.monotonic() - began

    def _setoption(self, words: Sequence[str]) -> None:
        name = self._options.set(*parse_setoption(words))
        if OPTIONS[name].ignored:
            self._say(f"info string option {name} is ignored: {OPTIONS[name].ignored}")
        elif name == "Clear Hash":
            self._halt()
            self._begin_game()

    def _go(self, words: Sequence[str]) -> None:
        self._halt()
        if self._board is None:
            self._say("info string no position: the last one was refused", "bestmove (none)")
            return
        try:
            go = parse_go(words, self._board)
            search = self._ready()
        except (ValueError, AgentdError):
            self._say("bestmove (none)")
            raise
        if go == Go(searchmoves=go.searchmoves):
            go = Go(searchmoves=go.searchmoves, infinite=True)
        if self._options.number("OwnBook") and go.plays_on_the_clock():
            move = self._book.draw(self._board)
            if move is not None:
                self._say("info string a move of the book", f"bestmove {move.uci()}")
                return
        overhead = self._options.number("Move Overhead")
        seconds = go.seconds(self._board.turn, overhead, self._overheads.least)
        nodes = go.nodes
        if nodes is None and seconds is not None and self._forced():
            nodes = _FORCED_NODES
        search.settings = self._options.settings(nodes, go.plies())
        if self._level != self._options.number("Level"):
            self._begin_level(search, self._options.draw_seed())
        clock = Clock(seconds, self._overheads, self._reading)
        self._run = SearchThread(search, self._board.copy(), go, clock, self._say)
        self._run.start()

    def _stop(self, _: Sequence[str]) -> None:
        self._halt()

    def _ponderhit(self, _: Sequence[str]) -> None:
        if self._run is not None:
            self._run.ponderhit()

    # -- parts --------------------------------------------------------------------------------

    def _ready(self) -> Search:
        """The search under the options in force, opening the model if another one is wanted."""
        wanted = (self._options.model, self._options.rating, self._options.number("Seed"))
        if self._search is None or wanted != self._playing:
            evaluator = self._load(*wanted[:2])
            self._search, self._playing = Search(evaluator), wanted
            self._begin_game()
            self._overheads.measure(evaluator)
        return self._search

    def _begin_game(self) -> None:
        """Forget the last game; draw from now on as the option Seed says."""
        seed, search = self._options.draw_seed(), self._ready()
        search.forget(seed)
        self._begin_level(search, seed)
        self._book.begin(seed)

    def _begin_level(self, search: Search, seed: int) -> None:
        """Play from now on at the option Level."""
        self._level = self._options.number("Level")
        set_level(search, self._level, seed)

    def _forced(self) -> bool:
        """True if there is one legal move: no time is worth spending on it."""
        return self._board is not None and self._board.legal_moves.count() == 1

    def _halt(self) -> None:
        """End the search that runs, if one does; its bestmove is written on return."""
        if self._run is not None:
            self._run.stop()
            self._run = None

    def _complain(self, error: Exception) -> None:
        self._say(f"info string {' '.join(str(error).split())}")

    def _say(self, *lines: str) -> None:
        with self._lock:
            for line in lines:
                self._write_line(line)


class SearchThread:
    """One search in its thread: writes its lines and, once it may, its ``bestmove``."""

    def __init__(
        self,
        search: Search,
        board: chess.Board,
        go: Go,
        clock: Clock,
        say: Callable[[str], None],
    ) -> None:
        self._search, self._board, self._go, self._say = search, board, go, say
        self._clock = clock
        self._stopped, self._free = threading.Event(), threading.Event()
        self._began = time.monotonic()
        self._reported = False
        self._thread = threading.Thread(target=self._work, name="chess-search", daemon=True)

    def start(self) -> None:
        if self._go.bounded():
            self._clock.start()
            self._free.set()
        self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def ponderhit(self) -> None:
        """The clock runs from now on, and the search may end by itself."""
        self._clock.start()
        if not self._go.infinite:
            self._free.set()

    def stop(self) -> None:
        """End the search and wait for its ``bestmove``."""
        self._stopped.set()
        self._free.set()
        self._thread.join()

    def _over(self) -> bool:
        return self._stopped.is_set() or self._clock.over()

    def _work(self) -> None:
        try:
            result = self._search.run(
                self._board,
                searchmoves=self._go.searchmoves,
                should_stop=self._over,
                on_info=self._write_info,
            )
            if result.move is None:
                self._write(f"info depth 0 score {'mate' if self._board.is_check() else 'cp'} 0")
            elif not self._reported:  # the policy's answer, without a tree and its lines
                self._write_info(result.info)
            last = _bestmove(result)
        except BrokenPipeError:
            return  # the GUI is gone
        except Exception as error:  # the GUI must get its answer
            self._write(f"info string search failed: {type(error).__name__}: {error}")
            last = "bestmove (none)"
        self._free.wait()  # `infinite` and `ponder` forbid an answer before stop or ponderhit
        self._write(last)
        if not self._stopped.is_set():
            self._clock.end()

    def _write(self, line: str) -> None:
        with suppress(BrokenPipeError):
            self._say(" ".join(line.split()))

    def _write_info(self, info: SearchInfo) -> None:
        self._reported = True
        spent = time.monotonic() - self._began
        speed = round(info.nodes / max(spent, 1e-3))
        for number, line in enumerate(info.lines, 1):
            moves = " ".join(move.uci() for move in line.moves)
            self._say(
                f"info depth {max(info.depth, 1)} multipv {number} score {line.score}"
                f" nodes {info.nodes} nps {speed} time {round(spent * 1000)} pv {moves}"
            )


def _bestmove(result: Result) -> str:
    if result.move is None:
        return "bestmove (none)"
    ponder = f" ponder {result.ponder.uci()}" if result.ponder else ""
    return f"bestmove {result.move.uci()}{ponder}"


_COMMANDS: dict[str, Callable[[UciSession, Sequence[str]], None]] = {
    "uci": UciSession._uci,
    "isready": UciSession._isready,
    "ucinewgame": UciSession._ucinewgame,
    "position": UciSession._position,
    "setoption": UciSession._setoption,
    "go": UciSession._go,
    "stop": UciSession._stop,
    "ponderhit": UciSession._ponderhit,
    "quit": UciSession._stop,
    "debug": lambda session, words: None,
    "register": lambda session, words: None,
}
