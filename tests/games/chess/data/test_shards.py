"""Shards and their manifest: nothing is lost at the seams, nothing damaged is read."""

from pathlib import Path

import numpy as np
import pytest

from agentd.games.chess.board.position import POSITION
from agentd.games.chess.data.blocks import GAME, ParsedBlock, read_block
from agentd.games.chess.data.filter import CODE, Filter
from agentd.games.chess.data.pgn_reader import PythonChessReader
from agentd.games.chess.data.player_counts import PlayerCounts
from agentd.games.chess.data.shards import (
    MANIFEST,
    Manifest,
    ShardsDamaged,
    ShardWriter,
    Source,
    open_shards,
    pieces_of,
    read_manifest,
)


def rows_of(count: int) -> np.ndarray:
    rows = np.zeros(count, POSITION)
    rows["move"] = np.arange(count)
    return rows


def write(folder: Path, rows: np.ndarray, size: int) -> Manifest:
    manifest = Manifest({}, size, [Source("a", 1)])
    writer = ShardWriter(folder, manifest, Path.write_bytes)
    while len(rows):
        room = min(writer.room, 4)
        rows, part = rows[room:], rows[:room]
        writer.add(part)
    writer.flush()
    (folder / MANIFEST).write_bytes(manifest.encode())
    return manifest


def test_shards_hold_the_rows_in_order_and_all_but_the_last_are_full(tmp_path):
    rows = rows_of(25)
    write(tmp_path, rows, 10)

    shards = open_shards(tmp_path, verify=True)

    assert [len(shard) for shard in shards] == [10, 10, 5]
    assert np.concatenate(shards).tobytes() == rows.tobytes()
    with pytest.raises(ValueError, match="read-only"):
        shards[0]["move"][0] = 1


def test_a_manifest_reads_back(tmp_path):
    manifest = write(tmp_path, rows_of(3), 10)
    games = np.zeros(3, GAME)
    games["reason"], games["low_clock"], games["rows"] = [0, CODE["bot"], CODE["bot"]], 2, [5, 0, 0]
    manifest.sources[0].account.add(games)
    (tmp_path / MANIFEST).write_bytes(manifest.encode())

    assert read_manifest(tmp_path) == manifest
    total = manifest.total
    assert (total.games, total.kept, total.rows) == (3, 1, 5)
    assert (total.dropped, total.positions_dropped) == ({"bot": 2}, {"low clock": 6})


def test_damaged_shards_are_refused(tmp_path):
    write(tmp_path, rows_of(25), 10)
    second = tmp_path / "shard-00001.bin"
    data = bytearray(second.read_bytes())
    data[100] ^= 1
    second.write_bytes(data)
    open_shards(tmp_path)
    with pytest.raises(ShardsDamaged, match="another checksum"):
        open_shards(tmp_path, verify=True)

    second.write_bytes(data[:-1])
    with pytest.raises(ShardsDamaged, match="expected 560 bytes, got 559 bytes"):
        open_shards(tmp_path)
    second.unlink()
    with pytest.raises(ShardsDamaged, match="expected 560 bytes, got no file"):
        open_shards(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2, "itemsize": 56}', "\x00", "[" * 9999]
)
def test_a_manifest_that_is_none_is_refused(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text)

    with pytest.raises(ShardsDamaged, match=MANIFEST):
        read_manifest(tmp_path)


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_pieces_end_where_shards_do_and_say_where_games_are(size):
    games = np.zeros(6, GAME)
    games["rows"] = counts = [4, 0, 3, 9, 0, 0]
    rows, owner = rows_of(16), np.repeat(np.arange(6), counts)
    seen = 0

    for whole, begun, piece in pieces_of(games, rows, lambda: size):
        seen += len(piece)
        assert len(piece) == size or seen == 16
        assert sum(counts[:whole]) + begun == seen
        assert seen == 16 or owner[seen] == whole
    assert (whole, begun, seen) == (6, 0, 16)


def capped(block: ParsedBlock, limit: int) -> tuple[ParsedBlock, PlayerCounts]:
    players = PlayerCounts()
    return players.cap(block, limit), players


def test_a_player_has_no_more_games_than_the_cap(write_games):
    text = write_games(40, plies=12)
    block = read_block(text, PythonChessReader(), Filter(games_per_player=4))

    found, _ = capped(block, 4)

    kept = found.games[found.games["reason"] == 0]
    names, counts = np.unique(kept["players"], return_counts=True)
    assert len(names) > 5
    assert counts.max() == 4
    assert set(found.games["reason"]) == {0, CODE["player cap"]}
    assert len(found.rows) == found.games["rows"].sum() < len(block.rows)
    assert (found.games[:4] == block.games[:4]).all()


def test_counts_can_be_told_as_they_were_before_some_games(write_games):
    block = read_block(write_games(20, plies=12), PythonChessReader(), Filter(games_per_player=4))
    _, early = capped(ParsedBlock(block.games[:8], block.rows[: block.games["rows"][:8].sum()]), 4)
    found, late = capped(block, 4)

    assert (late.before(found.games[8:]) == early.counters).all()
    assert (late.counters != early.counters).any()
