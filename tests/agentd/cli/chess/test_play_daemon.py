"""A game against an agent of a daemon: over TCP, from a trained policy, from the command line."""

import random
import subprocess
import sys
import time
from pathlib import Path

import chess
import chess.pgn
import numpy as np
import pytest

from agentd.chess.model.model import ChessModel, read_model, write_model
from agentd.chess.model.recipe import ChessRecipe, HeadSpec, make_head
from agentd.chess.play.opponents import ACTIONS, OBSERVATION, DaemonPolicy
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
    table = play_to_the_end(policy, seed=3, plies=46)

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
            time.sleep(0.1)
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
    play_to_the_end(policy, seed=3, plies=46)
    policy.close()
    with connect("play") as watcher:
        deadline = time.monotonic() + LEARNER_S
        while _version(watcher) == 0 and time.monotonic() < deadline:
            time.sleep(0.1)
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


def test_a_daemon_that_dies_leaves_the_game_behind(serve, tmp_path):
    daemon = serve("--set", "agent.model.layers=[]")
    hurry = "from agentd.chess.play import opponents; opponents.PATIENCE_S = 2.0"
    hurry += "; import sys; from agentd.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", hurry, "chess", "play", "--ascii"]
    person = subprocess.Popen(
        [*command, "--connect", f"127.0.0.1:{daemon.port}", "--agent", "pat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert person.stdin is not None
    assert person.stdout is not None
    person.stdin.write("e4\n")
    person.stdin.flush()
    while "plays 1... " not in person.stdout.readline():
        pass
    daemon.process.kill()
    daemon.process.wait()
    began = time.monotonic()
    _, errors = person.communicate("d4\nd3\nNf3\n", timeout=100)

    assert person.returncode == 69, errors
    assert time.monotonic() - began < 30
    assert "lost" in errors  # said while it waits
    kept = errors.split("the game is kept in ")[1].splitlines()[0]
    assert "1. e4 " in Path(kept).read_text()
