"""Dumps as streams: cut at games, wherever the pieces end; what breaks is told, never raised."""

import hashlib
import io

import pytest
import zstandard

from agentd.games.chess.data import dump as chess_dump
from agentd.games.chess.data.dump import DumpBlocks, last_game_start, read_dump, split_games


def blocks_of(data: bytes, start: int = 0) -> tuple[list[chess_dump.DumpBlock], DumpBlocks]:
    file = io.BytesIO(data)
    blocks = DumpBlocks(read_dump(file), file, start)
    return list(blocks), blocks


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(chess_dump, "BLOCK_BYTES", 6000)
    monkeypatch.setattr(chess_dump, "PIECE_BYTES", 500)
    monkeypatch.setattr(chess_dump, "READ_BYTES", 700)


@pytest.mark.parametrize("compress", [True, False], ids=["zstd", "plain"])
def test_blocks_are_whole_games_and_the_whole_text(write_games, compress):
    text = write_games(30)
    data = zstandard.compress(text) if compress else text
    digest = hashlib.sha256()

    file = io.BytesIO(data)
    found = list(DumpBlocks(read_dump(file, digest), file))

    assert b"".join(block.data for block in found) == text
    assert len(found) > 3
    assert all(block.data.startswith(b"[Event") for block in found)
    assert [block.offset for block in found][1:] == [text.find(block.data) for block in found[1:]]
    assert digest.digest() == hashlib.sha256(data).digest()
    assert sum(len(split_games(block.data)) for block in found) == 30


def test_a_start_in_the_middle_gives_the_rest(write_games):
    text = write_games(30)
    whole, _ = blocks_of(zstandard.compress(text))

    rest, _ = blocks_of(zstandard.compress(text), whole[2].offset)

    assert rest[0].offset == whole[2].offset
    assert b"".join(block.data for block in rest) == text[whole[2].offset :]


def test_frames_follow_each_other(write_games):
    texts = [write_games(8, seed=seed) for seed in range(3)]
    skippable = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
    data = skippable + b"".join(map(zstandard.compress, texts)) + skippable

    found, blocks = blocks_of(data)

    assert b"".join(block.data for block in found) == b"".join(texts)
    assert blocks.damage is None


def test_a_truncated_dump_gives_its_whole_games_and_says_so(write_games, compress):
    data = compress(write_games(40))

    found, blocks = blocks_of(data[: len(data) * 2 // 3])

    assert blocks.damage is not None
    assert "truncated" in blocks.damage
    assert str(len(data) * 2 // 3) in blocks.damage
    assert [block.cut_off for block in found] == [False] * (len(found) - 1) + [True]
    assert len(split_games(found[-1].data)) == 1
    assert sum(len(split_games(block.data)) for block in found) > 10


def test_a_corrupt_dump_says_where(write_games, compress):
    data = bytearray(compress(write_games(40)))
    data[len(data) // 2 : len(data) // 2 + 40] = b"\xaa" * 40

    found, blocks = blocks_of(bytes(data))

    assert blocks.damage is not None
    assert "corrupt near byte" in blocks.damage
    assert found
    assert found[-1].cut_off


def test_bytes_that_burst_stay_small_and_one_endless_game_is_cut(monkeypatch, write_games):
    monkeypatch.setattr(chess_dump, "GAME_BYTES", 20_000)
    endless = b'[Event "a"]\n\n1. e4 { ' + b"x" * 1_000_000 + b" } 1-0\n\n"
    first, last = write_games(3, seed=1), write_games(9, seed=2)

    found, _ = blocks_of(zstandard.compress(first + endless + last))

    games = [text for block in found for _, text in split_games(block.data)]
    assert len(games) == 13
    assert 20_000 <= len(games[3]) < 1_000_000
    assert b"".join(games[4:]) == last
    after = next(block for block in found if block.data.startswith(last[:200]))
    assert after.offset == len(first) + len(endless)


def test_game_starts_are_tags_after_an_empty_line():
    assert last_game_start(b'[A "1"]\n\n1. e4 {\n\n[%eval 1]} *\n\n') == 0
    assert last_game_start(b'[A "1"]\r\n\r\n*\r\n\r\n[A "2"]\r\n') == 16
    assert last_game_start(b'*\n\n\xef\xbb\xbf[A "2"]') == 6


def test_an_empty_file_is_no_games():
    found, blocks = blocks_of(b"")
    assert (found, blocks.damage) == ([], None)
