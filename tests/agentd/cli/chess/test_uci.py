"""The engine as programs meet it: python-chess's strict client, and raw pipes."""

import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import chess
import chess.engine
import pytest

COMMAND = [sys.executable, "-m", "agentd", "chess", "uci", "--model", "material"]
PATIENCE = 60.0


@contextmanager
def engine() -> Iterator[chess.engine.SimpleEngine]:
    running = chess.engine.SimpleEngine.popen_uci(COMMAND, timeout=PATIENCE)
    try:
        yield running
    finally:
        running.quit()


def test_python_chess_plays_through_it() -> None:
    """A conformance run: every step is one exchange that the strict client accepts."""
    steps = 0
    with engine() as running:
        assert running.id["name"].startswith("agentd ")
        options = {"Ponder", "MultiPV", "Move Overhead", "UCI_LimitStrength", "UCI_Elo"}
        assert options <= set(running.options)
        running.configure({"Move Overhead": 10, "Temperature": 0, "Seed": 7})
        running.ping()
        steps += 3
        board, game = chess.Board(), object()
        limits = [
            chess.engine.Limit(nodes=20),
            chess.engine.Limit(depth=1),
            chess.engine.Limit(time=0.05),
            chess.engine.Limit(white_clock=2, black_clock=2, white_inc=0.1, black_inc=0.1),
            chess.engine.Limit(white_clock=1, black_clock=3, remaining_moves=5),
        ]
        for ply in range(24):
            result = running.play(board, limits[ply % len(limits)], game=game, ponder=ply % 4 == 0)
            assert result.move in board.legal_moves
            board.push(result.move)
            steps += 1
        steps += _analyse(running)
        steps += _odd_positions(running)
    assert steps >= 40


def _analyse(running: chess.engine.SimpleEngine) -> int:
    board = chess.Board()
    lines = running.analyse(board, chess.engine.Limit(nodes=150), multipv=3)
    assert [line["multipv"] for line in lines] == [1, 2, 3]
    assert len({line["pv"][0] for line in lines}) == 3
    for line in lines:
        assert line["nodes"] == 150
        assert not line["score"].is_mate()
    roots = [chess.Move.from_uci("a2a3"), chess.Move.from_uci("h2h4")]
    only = running.play(board, chess.engine.Limit(nodes=30), root_moves=roots)
    assert only.move in roots
    with running.analysis(board) as analysis:  # go infinite … stop
        for info in analysis:
            if info.get("nodes", 0) >= 100:
                break
    running.ping()
    steps = 4
    mate = chess.Board("5r1k/6pp/7N/8/8/1Q6/6PP/6K1 w - - 0 1")
    found = running.analyse(mate, chess.engine.Limit(nodes=100))
    assert found["score"].white() == chess.engine.Mate(2)
    for elo in (900, 2000):
        running.configure({"UCI_LimitStrength": True, "UCI_Elo": elo})
        assert running.play(board, chess.engine.Limit(time=0.1)).move in board.legal_moves
        steps += 2
    running.configure({"UCI_LimitStrength": False, "Nodes": 40})
    assert running.analyse(board, chess.engine.Limit(nodes=900))["nodes"] == 40
    return steps + 3


def _odd_positions(running: chess.engine.SimpleEngine) -> int:
    mated = chess.Board("7k/6Q1/6K1/8/8/8/8/8 b - - 0 1")
    stalemate = chess.Board("7k/5Q2/6K1/8/8/8/8/8 b - - 0 1")
    for board in (mated, stalemate):
        assert running.play(board, chess.engine.Limit(nodes=10)).move is None
    promotion = chess.Board("8/P7/8/8/8/8/k7/2K5 w - - 0 1")
    assert running.play(promotion, chess.engine.Limit(nodes=60)).move == chess.Move.from_uci(
        "a7a8q"
    )
    castling = chess.Board("4k3/8/8/8/8/8/8/4K2R w K - 0 1")
    only = running.play(
        castling, chess.engine.Limit(nodes=10), root_moves=[chess.Move.from_uci("e1g1")]
    )
    assert only.move == chess.Move.from_uci("e1g1")
    passing = chess.Board("4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 2")
    only = running.play(
        passing, chess.engine.Limit(nodes=10), root_moves=[chess.Move.from_uci("e5d6")]
    )
    assert only.move == chess.Move.from_uci("e5d6")
    return 5


class Pipe:
    """The engine behind two pipes; ``wait_for`` reads until a line begins as asked."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.seen: list[str] = []
        self._watch = threading.Timer(PATIENCE, self.process.kill)
        self._watch.start()

    def send(self, *lines: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{line}\n" for line in lines))
        self.process.stdin.flush()

    def wait_for(self, start: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.seen.append(line.rstrip("\n"))
            if line.startswith(start):
                return line.rstrip("\n")
        raise AssertionError(f"no {start!r} in {self.seen}")

    def end(self) -> int:
        """Close the pipe, read the rest, and return the exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.stdout is not None
        self.seen += self.process.stdout.read().splitlines()
        assert self.process.stderr is not None
        self.errors = self.process.stderr.read()
        status = self.process.wait()
        self._watch.cancel()
        self.process.stdout.close()
        self.process.stderr.close()
        return status


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    opened = Pipe()
    yield opened
    if opened.process.poll() is None:
        opened.process.kill()
        opened.end()


def test_isready_is_answered_while_it_searches(pipe: Pipe) -> None:
    pipe.send("go infinite", "isready")
    pipe.wait_for("readyok")
    pipe.send("stop")
    assert pipe.wait_for("bestmove ").split()[1]
    pipe.send("quit")
    assert pipe.end() == 0
    assert pipe.errors == ""


@pytest.mark.parametrize("last", [(), ("quit",)])
def test_the_end_of_input_ends_a_search(pipe: Pipe, last: tuple[str, ...]) -> None:
    pipe.send("position startpos", "go infinite", *last)

    assert pipe.end() == 0
    assert [line.split()[0] for line in pipe.seen].count("bestmove") == 1
    assert pipe.errors == ""


def test_pondering_waits_for_the_hit(pipe: Pipe) -> None:
    mate = "position fen 6k1/5ppp/8/8/8/8/8/R5K1 w - - 0 1"
    pipe.send(mate, "go ponder wtime 9000 btime 9000", "isready")
    pipe.wait_for("readyok")
    time.sleep(0.3)  # the mate is found by now, and must not be told yet
    pipe.send("isready")
    pipe.wait_for("readyok")
    assert not any(line.startswith("bestmove") for line in pipe.seen)
    pipe.send("ponderhit")
    assert pipe.wait_for("bestmove") == "bestmove a1a8"

    pipe.send("position startpos", "go ponder movetime 50", "stop")
    pipe.wait_for("bestmove")
    pipe.send("go ponder movetime 100", "ponderhit")
    pipe.wait_for("bestmove")
    pipe.send("quit")
    assert pipe.end() == 0


def test_refusals_tell_the_reason_and_play_nothing(pipe: Pipe) -> None:
    pipe.send("position startpos moves e2e4 e2e4", "go nodes 10")
    assert "move 2, e2e4, is illegal" in pipe.wait_for("info string position")
    assert pipe.wait_for("bestmove") == "bestmove (none)"
    pipe.send("position fen nonsense", "go nodes 10")
    assert "FEN 'nonsense'" in pipe.wait_for("info string FEN")
    pipe.wait_for("bestmove (none)")
    pipe.send("position startpos", "go depth deep")
    assert "expected a whole number" in pipe.wait_for("info string go depth")
    pipe.send("setoption name Model value /no/such file", "go nodes 5")
    assert "no chess model /no/such file" in pipe.wait_for("info string no chess model")
    pipe.send("setoption name Model value material", "go nodes 5")
    assert pipe.wait_for("bestmove ").split()[1] != "(none)"
    pipe.send("setoption name MultiPV value lots")
    assert "from 1 to 100, got lots" in pipe.wait_for("info string option")
    pipe.send("xyzzy", "", "\x00\xff", "joho isready")
    pipe.wait_for("readyok")
    pipe.send("quit")
    assert pipe.end() == 0
    assert pipe.errors == ""


def test_a_mated_player_has_no_move(pipe: Pipe) -> None:
    pipe.send("position fen 7k/6Q1/6K1/8/8/8/8/8 b - - 0 1", "go movetime 1000")
    assert pipe.wait_for("info depth") == "info depth 0 score mate 0"
    assert pipe.wait_for("bestmove") == "bestmove (none)"
    pipe.send("quit")
    assert pipe.end() == 0


def test_a_new_game_and_a_second_go_end_the_first(pipe: Pipe) -> None:
    pipe.send("go infinite", "go nodes 20", "ucinewgame", "isready")
    pipe.wait_for("readyok")
    pipe.send("quit")
    assert pipe.end() == 0
    assert [line.split()[0] for line in pipe.seen].count("bestmove") == 2


def test_info_holds_whole_numbers_and_a_legal_line(pipe: Pipe) -> None:
    pipe.send("setoption name MultiPV value 2", "position startpos", "go nodes 200")
    pipe.wait_for("bestmove")
    pipe.send("quit")
    assert pipe.end() == 0
    lines = [line.split() for line in pipe.seen if line.startswith("info depth")]
    assert {words[words.index("multipv") + 1] for words in lines} == {"1", "2"}
    for words in lines:
        for name in ("depth", "nodes", "nps", "time"):
            int(words[words.index(name) + 1])
        assert words[words.index("score") + 1] == "cp"
        int(words[words.index("cp") + 1])
        board = chess.Board()
        for uci in words[words.index("pv") + 1 :]:
            board.push_uci(uci)


def test_a_missing_model_is_one_line() -> None:
    run = subprocess.run(
        [*COMMAND[:-1], "/no/model"], capture_output=True, text=True, input="uci\n", check=False
    )

    assert run.returncode == 66
    assert run.stderr == "agentd: no chess model /no/model; give a file, or `material`\n"


def test_programs_that_take_only_a_path_have_a_script() -> None:
    project = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text())
    module, _, name = project["project"]["scripts"]["agentd-chess-uci"].partition(":")
    code = f"import sys; from {module} import {name}; sys.exit({name}())"
    done = subprocess.run(
        [sys.executable, "-c", code, "--model", "material"],
        capture_output=True,
        text=True,
        input="uci\nquit\n",
        check=True,
    )

    assert done.stdout.endswith("uciok\n")


def test_a_forced_move_takes_no_time(pipe: Pipe) -> None:
    pipe.send("position fen 7k/8/6K1/8/8/8/8/R7 b - - 0 1", "go wtime 9000000 btime 9000000")
    assert pipe.wait_for("bestmove").split()[1] == "h8g8"
    pipe.send("quit")
    assert pipe.end() == 0
