"""``agentd chess prepare`` as a user runs it: several dumps, any number of processes, kill -9."""

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import zstandard

from agentd.cli import main
from agentd.games.chess.data.shards import open_shards, read_manifest

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def dumps(tmp_path, write_games) -> list[str]:
    paths = [tmp_path / "one.pgn.zst", tmp_path / "two.pgn"]
    paths[0].write_bytes(zstandard.compress(write_games(20, seed=1, plies=30) * 3))
    paths[1].write_bytes(write_games(30, seed=2, plies=30) + write_games(3, Event="Casual game"))
    return [str(path) for path in paths]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}


def test_shards_are_the_same_whoever_makes_them(run, dumps, tmp_path):
    pytest.importorskip("rust_pgn_reader_python_binding")
    ways = {"a": ("python-chess", 1), "b": ("python-chess", 3), "c": ("rust", 2)}
    for name, (reader, workers) in ways.items():
        done = run(
            *("chess", "prepare", *dumps, "--out", str(tmp_path / name), "--reader", reader),
            *("--workers", str(workers), "--shard-rows", "1000", "--json"),
        )
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)

    assert content(tmp_path / "a") == content(tmp_path / "b") == content(tmp_path / "c")
    assert report["games"] == 93
    assert report["kept"] == 90
    assert report["dropped"] == {"unrated": 3}
    assert report["rows"] == sum(map(len, open_shards(tmp_path / "a", verify=True)))
    assert report["games_per_second"] > 0
    manifest = read_manifest(tmp_path / "a")
    assert [source.account.games for source in manifest.sources] == [60, 33]
    assert all(source.sha256 for source in manifest.sources)


def test_a_killed_run_goes_on_and_ends_the_same(run, tmp_path, write_games):
    dump, filters = tmp_path / "dump.pgn.zst", tmp_path / "filter.yaml"
    dump.write_bytes(zstandard.compress(write_games(60, plies=30) * 4))
    filters.write_text("games_per_player: 36\nskip_plies: 3\nmin_clock_s: 250\n")
    common = ("chess", "prepare", str(dump), "--filter", str(filters), "--shard-rows", "499")
    assert run(*common, "--out", str(tmp_path / "whole"), timeout=200).returncode == 0
    folder, killed = tmp_path / "killed", 0
    for _ in range(30):
        process = subprocess.Popen(
            [sys.executable, "-m", "agentd", *common, "--out", str(folder), "-q", "--workers", "1"],
            stdout=subprocess.DEVNULL,
        )
        before = len(list(folder.glob("shard-*")))
        while process.poll() is None and len(list(folder.glob("shard-*"))) < before + 4:
            time.sleep(0.002)
        if process.poll() is not None:
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        killed += 1

    assert process.returncode == 0
    assert killed >= 1
    assert content(folder) == content(tmp_path / "whole")
    manifest = read_manifest(folder)
    assert manifest.complete
    assert manifest.total.dropped["player cap"] > 0
    (folder / "players-00007.npy").write_bytes(b"of a run that was killed as it ended")
    again = run(*common, "--out", str(folder), "--json", timeout=200)
    assert again.returncode == 0
    assert json.loads(again.stdout)["rows"] == manifest.total.rows
    assert content(folder) == content(tmp_path / "whole")


def test_a_broken_dump_is_told_and_its_whole_games_are_kept(run, tmp_path, write_games, compress):
    data = compress(write_games(50, plies=20) * 2)
    broken, sound = tmp_path / "broken.pgn.zst", tmp_path / "sound.pgn.zst"
    broken.write_bytes(data[: len(data) // 2])
    sound.write_bytes(data)

    done = run("chess", "prepare", str(broken), str(sound), "--out", str(tmp_path / "o"), "--json")

    assert done.returncode == 65
    assert "broken.pgn.zst: truncated" in done.stderr
    assert "Traceback" not in done.stderr
    report = json.loads(done.stdout)
    assert report["dropped"] == {"cut off": 1}
    assert 120 < report["kept"] < 180
    assert len(np.concatenate(open_shards(tmp_path / "o"))) == report["rows"]


def test_a_pipe_is_read_once(capsys, tmp_path, write_games):
    text, file, pipe = write_games(20, plies=20), tmp_path / "a.pgn", tmp_path / "pipe"
    file.write_bytes(text)
    os.mkfifo(pipe)
    words = ("--workers", "1", "--out")
    assert main(["chess", "prepare", str(file), *words, str(tmp_path / "a")]) == 0
    writer = threading.Thread(target=pipe.write_bytes, args=(gzip.compress(text),))
    writer.start()
    assert main(["chess", "prepare", str(pipe), *words, str(tmp_path / "b")]) == 0
    writer.join()

    one, two = (content(tmp_path / out) for out in "ab")
    assert one["shard-00000.bin"] == two["shard-00000.bin"]
    assert main(["chess", "prepare", str(pipe), *words, str(tmp_path / "b")]) == 2
    assert "a pipe, holds the same games" in capsys.readouterr().err


def test_refusals_are_one_line(capsys, dumps, tmp_path):
    out = ("--out", str(tmp_path / "o"))
    bad = tmp_path / "bad.yaml"
    bad.write_text("rated: true\nspeed: [blitz]\n")
    gap = tmp_path / "gap.yaml"
    gap.write_text("rating: {min: 2000, max: 1000}\n")
    names = {"utf16.pgn": "[a]".encode("utf-16"), "none.pgn": b"", "p.csv": b"PuzzleId,FEN\n"}
    for name, data in names.items():
        (tmp_path / name).write_bytes(data)
    cases = [
        ([*dumps, str(tmp_path / "utf16.pgn"), *out], 65, "utf16.pgn: it is UTF-16"),
        ([*dumps, str(tmp_path / "none.pgn"), *out], 65, "none.pgn: it is empty"),
        ([*dumps, str(tmp_path / "p.csv"), *out], 65, "p.csv: it is no PGN"),
        ([*dumps, str(tmp_path), *out], 66, "no dump"),
        (["nowhere.pgn", *out], 66, "no dump nowhere.pgn"),
        ([*dumps, *out, "--reader", "fast"], 2, "use one of python-chess, rust"),
        ([*dumps, *out, "--filter", "no.yaml"], 66, "no filter file no.yaml"),
        ([*dumps, *out, "--filter", str(bad)], 78, "did you mean"),
        ([*dumps, *out, "--filter", str(gap)], 78, "more than max"),
        ([*dumps, "--out", str(tmp_path)], 2, "holds other files"),
    ]
    for arguments, code, text in cases:
        assert main(["chess", "prepare", *arguments]) == code
        told = capsys.readouterr().err
        assert text in told
        assert told.count("\n") == 1


def test_a_folder_belongs_to_what_it_was_made_from(capsys, dumps, tmp_path):
    out = ("--out", str(tmp_path / "o"), "--workers", "1")
    assert main(["chess", "prepare", dumps[1], *out]) == 0

    assert main(["chess", "prepare", *dumps, *out, "--shard-rows", "7"]) == 2

    told = capsys.readouterr().err
    assert "was prepared with other dumps and another shard size" in told
