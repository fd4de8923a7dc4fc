"""``chess train``, ``eval`` and ``release`` from their command lines."""

import json
from pathlib import Path

import pytest

from agentd.cli import main
from agentd.games.chess.board.position import POSITION
from agentd.games.chess.data.shards import open_shards

TINY = """
policy: {layers: [{dense: 16}, relu]}
value: {layers: [{dense: 8}, relu]}
q: {layers: [{dense: 8}, relu]}
optimizer: {name: adam, lr: 1e-2}
batch: 16
steps: 20
warmup: 2
"""


def test_from_games_to_figures_by_the_commands(tmp_path: Path, write_games, capsys):
    dump, shards, run = tmp_path / "d.pgn", tmp_path / "shards", tmp_path / "run"
    dump.write_bytes(write_games(12, seed=3))
    model = tmp_path / "tiny.yaml"
    model.write_text(TINY)
    assert main(["chess", "prepare", str(dump), "--out", str(shards), "--workers", "1", "-q"]) == 0
    assert open_shards(shards)[0].dtype == POSITION
    train = ["chess", "train", str(model), "--train", str(shards), "--out", str(run)]
    assert main([*train, "--dev", str(shards), "--every", "10", "--json", "-q"]) == 0
    assert main(["chess", "eval", str(run), "--data", str(shards), "--json"]) == 0
    trained, judged = map(json.loads, capsys.readouterr().out.splitlines()[-2:])
    assert trained["steps"] == 20
    assert judged["positions"] == sum(map(len, open_shards(shards)))
    assert 0 <= judged["top1"] <= judged["top3"] <= 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "--train", "nowhere"], 66, "no shards in nowhere"),
        (["train", "no-recipe", "--train", "nowhere"], 66, "no recipe 'no-recipe'"),
        (["eval", "nothing.safetensors", "--data", "x"], 66, "nothing.safetensors"),
        (["eval"], 2, "nothing to measure on"),
        (["release", "nowhere", "--out", "x.safetensors"], 66, "no chess model in nowhere"),
    ],
)
def test_what_is_missing_is_named(arguments: list[str], code: int, message: str, capsys):
    assert main(["chess", *arguments]) == code
    assert message in capsys.readouterr().err


def test_layers_that_do_not_fit_are_named_with_their_line(tmp_path: Path, capsys):
    path = tmp_path / "bad.yaml"
    path.write_text("policy:\n  layers: [{conv2d: 8}]\n")
    assert main(["chess", "train", str(path), "--train", "x"]) == 78
    assert "bad.yaml:2" in capsys.readouterr().err
