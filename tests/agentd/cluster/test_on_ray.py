"""Commands on a simulated cluster: the same results as here, whoever dies."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from agentd import __version__
from agentd.games.chess.data.frames import HEADER
from agentd.runs import Run

from .simulated import PATIENCE_S, Nodes, children_of, run_agentd, start_agentd, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.timeout(3600), pytest.mark.xdist_group("ray")]
FILTER = "rated: false\nmin_clock_s: 0\nmin_plies: 1\ngames_per_player: 300\n"
SEEDS = ("rl", "train", "--preset", "catch", "--steps", "400", "--keep-going", "--json")


def pack(text: bytes, size: int) -> bytes:
    compressor = zstandard.ZstdCompressor()
    frames = [compressor.compress(text[at : at + size]) for at in range(0, len(text), size)]
    return b"".join(HEADER.pack(b"\x50\x2a\x4d\x18", 4, len(f)) + f for f in frames)


@pytest.fixture(scope="module")
def games(tmp_path_factory: pytest.TempPathFactory, write_games: Any) -> Path:
    folder = tmp_path_factory.mktemp("games")
    text = write_games(60, seed=2, plies=40) * 12
    (folder / "games.pgn.zst").write_bytes(pack(text, 100_000))
    (folder / "plain.pgn").write_bytes(text[: len(text) // 6])
    (folder / "filter.yaml").write_text(FILTER)
    return folder


def prepare_words(games: Path, out: Path, *more: Any, dump: str = "games.pgn.zst") -> list[Any]:
    words = ["chess", "prepare", games / dump, "--out", out, "--filter", games / "filter.yaml"]
    return [*words, "--shard-rows", 5_000, "--part-bytes", 1, "--json", *more]


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name != "lock"
    }


@pytest.fixture(scope="module")
def whole(games: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("whole") / "shards"
    done = run_agentd(*prepare_words(games, out, "--workers", 1))
    assert done.returncode == 0, done.stderr
    return digests(out)


def test_status_lists_the_nodes(nodes: Nodes) -> None:
    done = run_agentd("cluster", "status", "--ray", nodes.address, "--json")

    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert [node["agentd"] for node in record["nodes"]] == [record["agentd"]]
    assert record["nodes"][0]["nice"] == 0
    assert record["nodes"][0]["token"] is True


def test_blocks_as_tasks_give_the_same_shards(nodes: Nodes, games: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "here", tmp_path / "ray"]
    for folder, where in zip(folders, (("--workers", 1), ("--ray", nodes.address)), strict=True):
        done = run_agentd(*prepare_words(games, folder, *where, dump="plain.pgn"))
        assert done.returncode == 0, done.stderr

    assert digests(folders[0]) == digests(folders[1])


def test_shards_are_the_same_on_one_node_on_four_and_though_one_and_the_driver_are_killed(
    nodes: Nodes, games: Path, whole: dict[str, str], tmp_path: Path
) -> None:
    ray = ("--ray", nodes.address)
    one = run_agentd(*prepare_words(games, tmp_path / "one", *ray))
    others = [nodes.add() for _ in range(3)]
    four = run_agentd(*prepare_words(games, tmp_path / "four", *ray))
    assert (one.returncode, four.returncode) == (0, 0), one.stderr + four.stderr
    assert digests(tmp_path / "one") == digests(tmp_path / "four") == whole

    out = tmp_path / "shards"
    words = prepare_words(games, out, *ray)
    driver = start_agentd(tmp_path / "log", *words)
    wait_for(lambda: (out / "part-ends.jsonl").exists())
    nodes.kill(others.pop())
    done = len((out / "part-ends.jsonl").read_text().splitlines())
    wait_for(lambda: len((out / "part-ends.jsonl").read_text().splitlines()) > done + 2)
    driver.kill()
    driver.wait()
    assert json.loads((out / "manifest.json").read_text())["complete"] is False

    again = run_agentd(*words)

    for node in others:
        nodes.remove(node)
    assert again.returncode == 0, again.stderr
    assert digests(out) == whole


def test_seeds_equal_the_serial_ones_though_a_node_is_killed(nodes: Nodes, tmp_path: Path) -> None:
    serial = run_agentd(*SEEDS, "--seeds", "1..4", "--data-dir", tmp_path / "serial")
    doomed = nodes.add()
    raylet = doomed.all_processes["raylet"][0].process.pid
    words = [*SEEDS, "--seeds", "1..4", "--data-dir", tmp_path / "ray", "--ray", nodes.address]
    driver = start_agentd(tmp_path / "log", *words)
    wait_for(lambda: any(_is_training(pid) for pid in children_of(raylet)))
    nodes.kill(doomed)
    driver.wait(PATIENCE_S)
    assert driver.returncode == 0, (tmp_path / "log").read_text()
    shutil.rmtree(tmp_path / "ray" / "agents" / "catch-4")  # as if it had never come home

    again = run_agentd(
        *SEEDS, "--seeds", "4", "--data-dir", tmp_path / "ray", "--ray", nodes.address
    )

    assert (serial.returncode, again.returncode) == (0, 0), again.stderr
    for seed in range(1, 5):
        one, two = (
            sorted((tmp_path / where / "agents" / f"catch-{seed}" / "checkpoints").iterdir())[-1]
            for where in ("serial", "ray")
        )
        assert one.name == two.name
        assert (one / "weights.safetensors").read_bytes() == (
            two / "weights.safetensors"
        ).read_bytes()


def _is_training(pid: int) -> bool:
    try:
        return b"\0rl\0train\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_members_equal_one_trainer_and_outlive_a_node(nodes: Nodes, tmp_path: Path) -> None:
    rows = [f"{n % 7},{n % 5},{n % 3},{'ab'[n * n % 7 > n % 5]}" for n in range(2000)]
    (tmp_path / "d.csv").write_text("\n".join(["p,q,r,class", *rows]) + "\n")
    (tmp_path / "m.yaml").write_text("layers: [{dense: 16}, relu]\nbatch: 8\nepochs: 2\n")

    def words(name: str, *more: Any) -> list[Any]:
        data = ("train", tmp_path / "m.yaml", "--train", tmp_path / "d.csv")
        return [*data, "--out", tmp_path / name, "--json", *more]

    def params(name: str) -> bytes:
        return Run.open(tmp_path / name).load().arrays["params"].tobytes()

    ray = ("--ray", nodes.address)
    too_many = run_agentd(*words("none", *ray, "--members", 99))
    assert too_many.returncode == 2
    assert "--members 99: want at most one a CPU" in too_many.stderr
    here = run_agentd(*words("here"))
    one = run_agentd(*words("one", *ray, "--members", 1, "--average-every", 16))
    assert (here.returncode, one.returncode) == (0, 0), one.stderr
    assert params("here") == params("one")

    doomed = nodes.add()
    two = ("--members", 2, "--average-every", 4)
    quiet = run_agentd(*words("two", *ray, *two))
    assert quiet.returncode == 0, quiet.stderr
    driver = start_agentd(tmp_path / "log", *words("again", *ray, *two, "--epochs", 10))
    metrics = tmp_path / "again" / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") > 1)
    nodes.kill(doomed)
    driver.wait(PATIENCE_S)
    assert driver.returncode == 0, (tmp_path / "log").read_text()
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert len(lines) == 10
    assert lines[-1]["train_loss"] < lines[0]["train_loss"]
    assert lines[1]["train_loss"] == json.loads(quiet.stdout)["train_loss"]


def test_two_members_that_average_each_step_are_a_batch_of_twice_the_size(
    nodes: Nodes, tmp_path: Path
) -> None:
    rows = [f"{n % 7},{n % 5},{'ab'[n * n % 7 > n % 5]}" for n in range(320)]
    (tmp_path / "d.csv").write_text("\n".join(["p,q,class", *rows]) + "\n")
    model = "layers: [{dense: 16}, relu]\nepochs: 2\noptimizer: {name: sgd, lr: 0.1}\nbatch: "
    node = nodes.add()
    found = []
    for batch, more in (
        (8, ("--ray", nodes.address, "--members", 2, "--average-every", 1)),
        (16, ()),
    ):
        (tmp_path / "m.yaml").write_text(f"{model}{batch}\n")
        out = tmp_path / str(batch)
        words = ("train", tmp_path / "m.yaml", "--train", tmp_path / "d.csv", "--out", out, *more)
        done = run_agentd(*words)
        assert done.returncode == 0, done.stderr
        found.append(Run.open(out).load().arrays["params"])
    nodes.remove(node)

    np.testing.assert_allclose(*found, rtol=0, atol=1e-5)


def test_members_of_chess_equal_one_trainer_and_one_that_dies_is_replaced(
    nodes: Nodes, shards: Path, tmp_path: Path
) -> None:
    recipe = "policy: {layers: [{dense: 8}, relu]}\noptimizer: {name: adam, lr: 1e-3}\nbatch: 8\n"
    (tmp_path / "r.yaml").write_text(recipe)

    def words(name: str, steps: int, *more: Any) -> list[Any]:
        own = ["chess", "train", tmp_path / "r.yaml", "--train", shards, "--out", tmp_path / name]
        return [*own, "--steps", steps, "--every", 20, *more]

    def weights(name: str) -> bytes:
        newest = sorted((tmp_path / name / "checkpoints").iterdir())[-1]
        data = (newest / "weights.safetensors").read_bytes()
        return data[8 + int.from_bytes(data[:8], "little") :]  # its header names the checkpoint

    ray = ("--ray", nodes.address, "--average-every", 2)
    here = run_agentd(*words("here", 40))
    one = run_agentd(*words("one", 40, *ray, "--members", 1))
    assert (here.returncode, one.returncode) == (0, 0), one.stderr
    assert weights("here") == weights("one")

    doomed = nodes.add()
    driver = start_agentd(tmp_path / "log", *words("two", 400, *ray, "--members", 2))
    metrics = tmp_path / "two" / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") > 1)
    nodes.kill(doomed)
    driver.wait(PATIENCE_S)
    log = (tmp_path / "log").read_text()
    assert (driver.returncode, "another one begins at the last average" in log) == (0, True), log
    losses = [json.loads(line)["loss"]["policy"] for line in metrics.read_text().splitlines()]
    assert len(losses) == 20
    assert losses[-1] < losses[0] / 2


def test_bad_input_is_one_line_each(nodes: Nodes, games: Path, tmp_path: Path) -> None:
    ray = ("--ray", nodes.address)
    open_ = tmp_path / "serve.yaml"
    open_.write_text("agent: {pace: {mode: free}}\n")
    cases = [
        (("cluster", "status", "--ray", "127.0.0.1:9"), 69, "no Ray cluster at 127.0.0.1:9"),
        (("cluster", "status", "--ray", "nowhere"), 2, "want auto, local or HOST:PORT"),
        ((*SEEDS, *ray), 2, "--ray wants --seeds"),
        (("train", "--members", 2), 2, "--ray and --members go together"),
        (("cluster", "serve", open_, *ray, "--data-dir", tmp_path), 78, "no token is asked for"),
    ]
    for words, code, text in cases:
        done = run_agentd(*words)
        assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
        assert text in done.stderr


def test_another_agentd_on_a_node_is_refused(nodes: Nodes, tmp_path: Path) -> None:
    other = tmp_path / "site" / "agentd"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text('__version__ = "9.9.9"\n')
    before = os.environ["PYTHONPATH"]
    os.environ["PYTHONPATH"] = str(other.parent)
    try:
        strange = nodes.add()
    finally:
        os.environ["PYTHONPATH"] = before
    done = run_agentd("cluster", "status", "--ray", nodes.address, cwd=tmp_path)
    nodes.remove(strange)

    assert done.returncode == 78
    assert f"has agentd 9.9.9, expected agentd {__version__}" in done.stderr
    assert done.stderr.count("\n") == 1
