"""A game in the terminal: the table's commands, whole games in a pseudo-terminal and by TCP."""

import os
import pty
import random
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import chess
import chess.pgn
import numpy as np
import pytest

from agentd.chess.model.model import ChessModel, read_model, write_model
from agentd.chess.model.recipe import ChessRecipe, HeadSpec, make_head
from agentd.chess.play.opponents import ACTIONS, OBSERVATION, Advice, DaemonPolicy
from agentd.cli import main
from agentd.cli.chess.board_view import draw_board
from agentd.cli.chess.table import Table
from agentd.client import Client, Refused
from agentd.engine.layers import Dense, Relu
from agentd.games.chess.board.features import features
from agentd.games.chess.board.moves import legal_indices, legal_mask
from agentd.games.chess.board.position import encode_boards
from agentd.games.chess.data.lessons import BEST

pytestmark = pytest.mark.timeout(300)

LEARNER_S = 200.0
"""The learner's process has the lowest priority: on a busy machine it takes its time to start."""


class Scripted:
    """Plays the moves that it is given, and remembers what it was told."""

    name = "script"

    def __init__(self, *moves: str, win: float = 0.5) -> None:
        self._moves, self._win = list(moves), win
        self.told: list[object] = []

    def choose(self, board: chess.Board) -> Advice:
        return Advice(board.parse_san(self._moves.pop(0)), self._win)

    def advise(self, board: chess.Board) -> Advice:
        move = next(iter(board.legal_moves))
        return Advice(move, self._win, (move,), "cp 12")

    def taken_back(self) -> None:
        self.told.append("taken back")

    def ended(self, board: chess.Board, score: float | None) -> None:
        self.told.append(score)

    def close(self) -> None:
        self.told.append("closed")


def sit(policy: Scripted, lines: Iterable[str], **seat) -> tuple[Table, list[str]]:
    """Play ``lines`` against ``policy``; the table after it, and what was shown but boards."""
    shown: list[str] = []
    rest = iter(lines)
    table = Table(
        policy, lambda prompt: next(rest, None), lambda what: shown.append(str(what)), **seat
    )
    table.play()
    return table, [text for text in shown if "a  b  c" not in text and "c  b  a" not in text]


def test_a_board_is_drawn_from_either_side():
    board = chess.Board()
    board.push_san("e4")

    plain = draw_board(board, ascii_only=True).plain.splitlines()
    assert len(plain) == 10
    assert plain[0].split() == list("abcdefgh")
    assert plain[1] == " 8  r  n  b  q  k  b  n  r  8"
    assert plain[5] == " 4     .     . [P] .     .  4"
    assert "[ ]" in plain[7]
    flipped = draw_board(board, flip=True).plain.splitlines()
    assert flipped[0].split() == list("hgfedcba")
    assert flipped[1].split()[:2] == ["1", "♖"]
    assert board.fen() == "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1"


def test_a_king_in_check_is_marked_and_coloured():
    text = draw_board(chess.Board("4k3/8/8/8/8/8/8/4R2K b - - 0 1"), ascii_only=True)

    assert "!k!" in text.plain
    assert any("red" in str(span.style) for span in text.spans)


def test_a_lost_game_is_told_and_kept(tmp_path):
    policy = Scripted("e5", "Qh4#")

    table, shown = sit(policy, ["f3", "g4"], save_to=tmp_path / "game.pgn")

    assert table.result == "0-1"
    assert shown[-1] == "0-1  checkmate, Black wins"
    assert policy.told == [1.0]
    assert "2. g4 Qh4# 0-1" in (tmp_path / "game.pgn").read_text()


def test_refusals_and_commands():
    policy = Scripted("e5", "Nc6", "d6")

    table, shown = sit(
        policy,
        ["e5", "hnt", "e4", "hint", "eval", "draw", "fen", "Nf3", "undo", "moves", "Nf3", "board"],
    )

    assert shown[0] == "no pawn of yours can go to e5"
    assert shown[1].endswith("or hint?")
    assert shown[3:7] == [
        "hint: Nh3",
        "White to move scores 50% (cp 12)  2. Nh3",
        "no rule gives you a draw yet, and the bot plays on",
        "rnbqkbnr/pppp1ppp/8/4p3/4P3/8/PPPP1PPP/RNBQKBNR w KQkq - 0 2",
    ]
    assert "1. e4 e5" in shown
    assert [str(move) for move in table.board.move_stack] == ["e2e4", "e7e5", "g1f3", "d7d6"]
    assert policy.told == ["taken back", None]


def test_a_draw_is_claimed_offered_and_counted():
    knights = ["Nf3", "Ng1", "Nf3", "Ng1", "draw"]
    table, shown = sit(Scripted("Nf6", "Ng8", "Nf6", "Ng8"), knights)
    assert table.result == "1/2-1/2"
    assert "draw claimed: the position comes about three times" in shown[-1]

    table, shown = sit(policy := Scripted("e5", win=0.7), ["e4", "draw"])
    assert shown[-1] == "1/2-1/2  draw agreed"
    assert policy.told == [0.0]


def test_a_game_goes_on_from_a_file_and_from_a_position(tmp_path):
    first, _ = sit(Scripted("e5", "Nc6"), ["e4", "Nf3", f"save {tmp_path / 'a.pgn'}"])

    table, shown = sit(
        Scripted("a6"),
        [
            f"load {tmp_path / 'a.pgn'}",
            "Bb5",
            "load nowhere.pgn",
            "fen rubbish",
            "fen 4k3/8/4K3/8/8/8/8/7R w - - 0 1",
            "Rh8",
            "new",
            "resign",
            "e4",
        ],
    )

    assert first.board.fullmove_number == 3
    assert "nowhere.pgn: No such file or directory" in shown
    assert any(text.startswith("no FEN") for text in shown)
    assert "1-0  checkmate, White wins" in shown
    assert shown[-2:] == ["0-1  you resign", "the game is over: new, undo, save FILE or quit"]
    assert table.result == "0-1"


def test_undo_after_the_end_and_as_black():
    policy = Scripted("e4", "d4", "d4")
    table, shown = sit(policy, ["undo", "e5", "resign", "undo", "c5"], human=chess.BLACK)

    assert shown[1] == "there is no move of yours to take back"
    assert "1-0  you resign" in shown
    assert [str(move) for move in table.board.move_stack] == ["e2e4", "c7c5", "d2d4"]
    assert policy.told == [1.0, "taken back", None]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--color", "red"], 2, "use one of white, black, random"),
        (["--learn"], 2, "it is a daemon that learns"),
        (["--fen", "rubbish"], 2, "--fen: no FEN"),
        (["--load", "no.pgn"], 66, "no game no.pgn"),
        (["--model", "no.model"], 66, "no chess model no.model"),
        (["--connect", "127.0.0.1:1"], 69, "127.0.0.1:1"),
        (["--connect", "::what"], 2, "--connect"),
    ],
)
def test_a_wrong_command_line_is_one_line(capsys, arguments, code, text):
    assert main(["chess", "play", *arguments]) == code
    told = capsys.readouterr().err
    assert text in told
    assert told.count("\n") == 1


class Typist:
    """A person at ``agentd chess play`` in a pseudo-terminal."""

    def __init__(self, *arguments: str) -> None:
        ours, theirs = pty.openpty()
        self._fd = ours
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agentd", "chess", "play", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | {"TERM": "xterm-256color", "LANG": "C.UTF-8"},
            start_new_session=True,
        )
        os.close(theirs)
        self.seen = ""
        self._at = 0

    def wait_for(self, text: str, seconds: float = 100.0) -> str:
        """Read until ``text`` has come; what came since the last wait, without colours."""
        deadline = time.monotonic() + seconds
        while text not in (plain := re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.seen))[self._at :]:
            left = deadline - time.monotonic()
            assert left > 0, f"waited for {text!r}, got {plain[self._at :]!r}"
            if select.select([self._fd], [], [], left)[0]:
                try:
                    data = os.read(self._fd, 65536)
                except OSError:  # Linux: the other end is closed
                    data = b""
                assert data, f"it ended before {text!r}: {plain[self._at :]!r}"
                self.seen += data.decode("utf-8", "replace")
        end = plain.index(text, self._at) + len(text)
        came, self._at = plain[self._at : end], end
        return came

    def type(self, line: str, answer: str) -> str:
        """Type a line and wait for ``answer``."""
        os.write(self._fd, line.encode() + b"\n")
        return self.wait_for(answer)

    def leave(self) -> int:
        os.write(self._fd, b"quit\n")
        while self.process.poll() is None:
            if select.select([self._fd], [], [], 0.1)[0]:
                try:
                    os.read(self._fd, 65536)
                except OSError:
                    break
        code = self.process.wait(30)
        os.close(self._fd)
        return code


def test_a_whole_game_in_a_terminal(tmp_path):
    game = tmp_path / "game.pgn"
    fen = "7k/4P3/8/8/8/8/r7/4K3 w - - 0 1"
    typist = Typist(
        *("--model", "material", "--nodes", "10", "--seed", "1"), "--fen", fen, "--save", str(game)
    )
    board = typist.wait_for("1. White> ")
    assert "♔" in board
    assert "\x1b[" in typist.seen  # colours

    typist.type("Qd4", "you have no queen")
    typist.type("e2e4", "there is no piece on e2")
    typist.type("e8", "to what does the pawn promote")
    typist.wait_for("1. White> ")
    typist.type("e8=Q", "agentd material plays 1...")
    typist.wait_for("2. White> ")
    typist.type("undo", "1. White> ")
    typist.type("e7e8r", "agentd material plays 1...")
    typist.wait_for("2. White> ")
    assert "hint: " in typist.type("hint", "White> ")
    assert "White to move scores" in typist.type("eval", "White> ")
    assert "h  g  f" in typist.type("flip", "White> ")
    typist.type("resign", "0-1  you resign")
    typist.wait_for("> ")
    assert typist.leave() == 0

    with game.open() as file:
        kept = chess.pgn.read_game(file)
    assert kept is not None
    assert kept.headers["Result"] == "0-1"
    assert kept.headers["FEN"] == fen
    first = kept.variations[0].move
    assert first.uci() == "e7e8r"


def play_to_the_end(policy: DaemonPolicy, seed: int, plies: int = 400) -> Table:
    """A person who moves at random, against ``policy``; takes one move back on the way."""
    rng = np.random.default_rng(seed)
    table = Table(policy, lambda prompt: None, lambda what: None, board=chess.Board())
    count = 0

    def ask(prompt: str) -> str | None:
        nonlocal count
        count += 1
        if table.result != "*":
            return None
        if count == 5:
            return "undo"
        if len(table.board.move_stack) > plies:
            return "resign"
        return table.board.san(rng.choice(list(table.board.legal_moves)))

    table.ask = ask
    table.play()
    return table


@pytest.mark.parametrize("role", ["play", "train"])
def test_a_whole_game_against_a_daemon(serve, role):
    settings = ("agent.pace.learn_start=16", "agent.pace.train_every=4", "agent.model.layers=[]")
    daemon = serve(*(word for text in settings for word in ("--set", text)))

    def connect(role: str) -> Client:
        address = ("127.0.0.1", daemon.port)
        return Client.connect(address, "chess", OBSERVATION, ACTIONS, role=role, explain=True)

    policy = DaemonPolicy(connect, role, "chess")
    table = play_to_the_end(policy, seed=3, plies=60)

    assert table.result != "*"
    advice = policy.advise(chess.Board())
    assert chess.Board().is_legal(advice.move)
    assert advice.win is not None
    again = policy.advise(chess.Board())
    assert again.move == advice.move
    policy.close()
    with connect("play") as watcher:
        facts = watcher.stats("chess").agents["chess"]
        if role == "play":
            assert not facts["rows_kept"]
            assert _version(watcher) == 0
            return
        won = {"1-0": -1.0, "0-1": 1.0}.get(table.result, 0.0)
        assert facts["rows_kept"] > 20
        assert facts["episodes"] == 2  # the move taken back cut one
        assert facts["return_mean"] == won / 2
        deadline = time.monotonic() + LEARNER_S
        while _version(watcher) == 0 and time.monotonic() < deadline:
            time.sleep(0.5)
        assert _version(watcher) > 0


def policy_file(path: Path) -> ChessModel:
    """Write a model whose policy nobody has trained, and return it as it is read back."""
    layers = HeadSpec(layers=(Dense(24), Relu()))
    recipe = ChessRecipe(policy=layers, value=layers, input="full")
    rng = np.random.default_rng(11)
    weights = {head: make_head(recipe, head).init(rng) for head in recipe.heads}
    write_model(path, ChessModel(recipe, weights), {})
    return read_model(path)


def test_a_daemon_begins_with_a_trained_policy_and_learns_from_there(serve, tmp_path):
    """Its first moves are the policy's, so are its values but for their scale; then it learns."""
    model = policy_file(tmp_path / "bot.safetensors")
    settings = {
        "agent.model.layers": "[{dense: 24}, relu]",
        "agent.init.file": tmp_path / "bot.safetensors",
        "agent.init.part": "policy",
        "agent.init.scale": 0.05,
        "agent.pace.learn_start": 16,
        "agent.optimizer.lr": 1e-5,
    }
    words = [f"{name}={value}" for name, value in settings.items()]
    daemon = serve(*(word for each in words for word in ("--set", each)))

    def connect(role: str) -> Client:
        address = ("127.0.0.1", daemon.port)
        return Client.connect(address, "chess", OBSERVATION, ACTIONS, role=role, explain=True)

    board, rng = chess.Board(), random.Random(4)
    with connect("play") as client:
        for _ in range(30):
            inputs = features(encode_boards([board], BEST, BEST))
            logits = model.policy(inputs)[0]
            act = client.step(inputs.astype(np.uint8), 0.0, 0, mask=legal_mask(board)[None])
            client.step(inputs.astype(np.uint8), 0.0, 3)
            _, numbers = legal_indices(board)
            assert act.actions[0] == numbers[logits[numbers].argmax()]
            assert act.q[0][numbers] == pytest.approx(0.05 * logits[numbers], abs=1e-5)
            board.push(rng.choice(list(board.legal_moves)))
    policy = DaemonPolicy(connect, "train", "chess")
    play_to_the_end(policy, seed=3, plies=60)
    policy.close()
    with connect("play") as watcher:
        deadline = time.monotonic() + LEARNER_S
        while _version(watcher) == 0 and time.monotonic() < deadline:
            time.sleep(0.5)
        assert _version(watcher) > 0
        start = features(encode_boards([chess.Board()], BEST, BEST))
        act = watcher.step(start.astype(np.uint8), 0.0, 0)
        began = 0.05 * model.policy(start)[0]
        assert act.q[0] == pytest.approx(began, abs=0.02)  # a little was learned, from there
        assert (act.q[0] != began).any()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (("file=/no/where.safetensors",), "no safetensors file"),
        (("file={}", "part=q"), "no part 'q', it has policy, value"),
        (("file={}", "part=value"), "2.dense.w: expected"),
    ],
)
def test_a_daemon_says_what_it_cannot_begin_with(serve, tmp_path, settings, text):
    policy_file(tmp_path / "bot.safetensors")
    words = [f"agent.init.{each.format(tmp_path / 'bot.safetensors')}" for each in settings]
    words.append("agent.model.layers=[{dense: 24}, relu]")
    daemon = serve(*(word for each in words for word in ("--set", each)))
    with pytest.raises(Refused, match=text):
        Client.connect(("127.0.0.1", daemon.port), "chess", OBSERVATION, ACTIONS)


def _version(client: Client) -> int:
    """The newest weights' version, asked by a game that begins anew."""
    board = np.zeros((1, OBSERVATION[1][0]), np.uint8)
    act = client.step(board, 0.0, 0)
    client.step(board, 0.0, 3)
    return act.version


def test_play_speaks_to_a_daemon_from_the_command_line(serve, tmp_path):
    daemon = serve("--set", "agent.model.layers=[]")
    lines = "e4\nhint\neval\nundo\nd4\nresign\nquit\n"

    done = subprocess.run(
        [
            *(sys.executable, "-m", "agentd", "chess", "play", "--ascii"),
            *("--connect", f"127.0.0.1:{daemon.port}", "--agent", "pat", "--learn"),
            *("--save", str(tmp_path / "a.pgn")),
        ],
        input=lines,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert f"pat at 127.0.0.1:{daemon.port} plays 1... " in done.stdout
    assert "0-1  you resign" in done.stdout
    assert "1. d4" in (Path(tmp_path) / "a.pgn").read_text()
