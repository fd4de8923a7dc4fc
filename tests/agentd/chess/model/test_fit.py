"""Training chess heads: it learns, resumes bit by bit, says what is wrong, and makes a file."""

import json
from pathlib import Path

import chess
import numpy as np
import pytest

from agentd.chess.model.fit import ChessFit, FitRequest, begin_run
from agentd.chess.model.model import NotAModel, load_bot, read_model
from agentd.chess.model.recipe import (
    ChessRecipe,
    HeadSpec,
    LessonShares,
)
from agentd.chess.model.sources import TrainingSources
from agentd.cli import main
from agentd.engine.layers import Dense, Relu
from agentd.engine.optim.spec import OptimizerSpec
from agentd.errors import MissingInput, UsageError
from agentd.games.chess.board.moves import N_MOVES, move_index
from agentd.games.chess.board.position import Positions, encode_boards
from agentd.games.chess.data.lessons import BEST
from agentd.interrupts import Interrupts

TINY = """
policy: {layers: [{dense: 16}, relu]}
value: {layers: [{dense: 8}, relu]}
q: {layers: [{dense: 8}, relu]}
optimizer: {name: adam, lr: 1e-2}
batch: 16
steps: 20
warmup: 2
"""


def opening() -> Positions:
    """256 copies of the start, always e4, and its answer, always lost for the mover."""
    start, board = chess.Board(), chess.Board()
    board.push_san("e4")
    rows = np.repeat(encode_boards([start, board], 1500, 1500), 128)
    rows["move"][:128] = move_index(chess.Move.from_uci("e2e4"), True)
    rows["move"][128:] = move_index(chess.Move.from_uci("e7e5"), False)
    rows["result"][:128], rows["result"][128:] = 1, -1
    return rows


def recipe(**changes: object) -> ChessRecipe:
    import msgspec

    from agentd.chess.model.recipe import convert_recipe
    from agentd.engine.strictyaml import parse

    return msgspec.structs.replace(convert_recipe(parse(TINY)), **changes)


def fit(run: Path, wanted: ChessRecipe, resume: bool = False, until: int | None = None) -> ChessFit:
    """Train in ``run``; with ``until`` as if interrupted at that step."""
    sources = TrainingSources([opening()], {"rows": 256})
    request = FitRequest(run, wanted, sources, opening()[::16], every=10)
    begin_run(request, resume)
    made, interrupts = ChessFit(request), Interrupts()

    def tell(figures: object) -> None:
        interrupts.seen = until is not None and made.step >= until

    with made.lock():
        made.resume()
        made.run(interrupts, tell)
    return made


def test_it_learns_what_was_played(tmp_path: Path):
    made = fit(tmp_path / "run", recipe(steps=200))
    bot = made.model()
    bot.mover_rating = bot.other_rating = 1500
    board = chess.Board()
    logits, win = bot.evaluate([board])
    q = bot.outputs("q", made_inputs(bot, board))
    assert logits[0].argmax() == move_index(chess.Move.from_uci("e2e4"), True)
    assert win[0] > 0.65
    assert q[0, logits[0].argmax()] > 0.7
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["steps"] for line in lines] == list(range(10, 201, 10))
    assert json.loads(lines[-1])["match"]["top1"] == 1.0


def made_inputs(bot, board: chess.Board):
    from agentd.games.chess.board.features import features

    return features(bot.encode([board]))


def test_interrupted_and_resumed_is_as_if_in_one_go(tmp_path: Path):
    whole = fit(tmp_path / "whole", recipe())
    fit(tmp_path / "parts", recipe(), until=10)
    parts = fit(tmp_path / "parts", recipe(), resume=True)
    assert parts.step == whole.step == 20
    for head in ("policy", "value", "q"):
        one, other = whole.heads[head].get_state(), parts.heads[head].get_state()
        assert one[1] == other[1]
        assert one[0].keys() == other[0].keys()
        for name in one[0]:
            assert one[0][name].tobytes() == other[0][name].tobytes(), (head, name)


def test_a_model_that_saw_less_goes_on_as_it_was_and_learns_the_rest(tmp_path: Path):
    shares = {"best": 0.25, "puzzles": 0.25}
    base = fit(tmp_path / "base", recipe())
    bot, boards = base.model(), [chess.Board(), chess.Board("8/8/8/8/8/4k3/4p3/4K3 b - - 0 1")]
    rows = opening()
    rows["eval"] = rows["after"] = 20
    wanted = recipe(input="full", lessons=LessonShares(**shares), optimizer=OptimizerSpec(lr=1e-2))
    sources = TrainingSources([rows], {}, {"puzzles": [rows]}, start=bot)
    request = FitRequest(tmp_path / "run", wanted, sources, None)
    made = ChessFit(request)
    for one, other in zip(bot.evaluate(boards), made.model().evaluate(boards), strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    begin_run(request, False)
    made.run(Interrupts(), lambda figures: None)
    assert made.step == 20
    assert made.model().rating == BEST
    assert bot.rating < BEST

    with pytest.raises(MissingInput, match="lessons of the kind 'puzzles'"):
        ChessFit(FitRequest(tmp_path / "run", wanted, TrainingSources([rows], {}), None))
    wide = recipe(policy=HeadSpec(layers=(Dense(17), Relu())))
    unfit = TrainingSources([rows], {}, start=bot)
    with pytest.raises(UsageError, match=r"policy: .*expected"):
        ChessFit(FitRequest(tmp_path / "run", wide, unfit, None))


def test_a_board_recipe_takes_convolutions(tmp_path: Path):
    from agentd.chess.model.recipe import convert_recipe
    from agentd.engine.strictyaml import parse

    text = "input: board\npolicy: {layers: [{conv2d: {channels: 2}}, flatten]}\nbatch: 8\nsteps: 2"
    made = fit(tmp_path / "run", convert_recipe(parse(text)))
    logits, win = made.model().evaluate([chess.Board()] * 3)
    assert logits.shape == (3, N_MOVES)
    assert win.tolist() == [0.5] * 3


def test_a_run_is_not_overwritten_nor_invented(tmp_path: Path):
    fit(tmp_path / "run", recipe(steps=2))
    with pytest.raises(UsageError, match="holds a run already"):
        fit(tmp_path / "run", recipe(steps=2))
    with pytest.raises(MissingInput, match="no run in"):
        fit(tmp_path / "none", recipe(), resume=True)
    with pytest.raises(UsageError, match="another recipe"):
        fit(tmp_path / "run", recipe(batch=8), resume=True)


def test_a_release_holds_the_model_in_half_precision(tmp_path: Path, capsys):
    made = fit(tmp_path / "run", recipe(steps=20))
    out = tmp_path / "bot.safetensors"
    words = ["chess", "release", str(tmp_path / "run"), "--out", str(out), "--note", "a trial"]
    assert main([*words, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["note"] == load_bot(out).facts["note"] == "a trial"
    assert facts["data"] == {"rows": 256}
    bot = load_bot(out)
    assert bot.about["steps"] == facts["trainer"]["step"]
    boards = [chess.Board(), chess.Board("8/8/8/8/8/4k3/4p3/4K3 b - - 0 1")]
    whole = load_bot(tmp_path / "run")
    for one, other in zip(bot.evaluate(boards), whole.evaluate(boards), strict=True):
        assert one == pytest.approx(other, abs=0.05)
    assert made.recipe.heads == bot.recipe.heads


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"\x08" + bytes(7) + b"{}      "])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(NotAModel, match="is no chess model"):
        read_model(path)


def test_the_shipped_model_says_what_it_is_and_plays():
    bot = load_bot()
    figures = bot.facts["figures"]
    assert bot.facts["data"]["rows"] > 6_000_000
    assert figures["top1"] >= 0.38
    assert figures["cross_entropy"] <= 2.35
    start, ahead = chess.Board(), chess.Board("4k3/pppp4/8/8/8/8/PPPP4/3QK3 w - - 0 1")
    logits, win = bot.evaluate([start, ahead])
    usual = {move_index(chess.Move.from_uci(move), True) for move in ("e2e4", "d2d4")}
    assert logits[0].argmax() in usual
    assert 0.4 < win[0] < 0.6 < 0.9 < win[1]
