"""Dumps as streams: cut at games, wherever the pieces end; what breaks is told, never raised."""

import bz2
import gzip
import hashlib
import io

import pytest
import zstandard

from agentd.games.chess.data import dump as chess_dump
from agentd.games.chess.data import packed
from agentd.games.chess.data.dump import DumpBlocks, read_dump
from agentd.games.chess.data.game_starts import last_game_start, split_games


def blocks_of(data: bytes, start: int = 0) -> tuple[list[chess_dump.DumpBlock], DumpBlocks]:
    file = io.BytesIO(data)
    blocks = DumpBlocks(read_dump(file), file, start)
    return list(blocks), blocks


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(chess_dump, "BLOCK_BYTES", 6000)
    monkeypatch.setattr(chess_dump, "PIECE_BYTES", 500)
    monkeypatch.setattr(packed, "PIECE_BYTES", 500)
    monkeypatch.setattr(packed, "READ_BYTES", 700)


PACKERS = {"plain": bytes, "zstd": zstandard.compress, "gzip": gzip.compress, "bzip2": bz2.compress}


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_blocks_are_whole_games_and_the_whole_text(write_games, pack):
    text = write_games(30)
    data = pack(text)
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


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress], ids=["gzip", "bzip2"])
def test_every_packed_dump_is_told_that_is_cut_off_or_corrupt(write_games, pack):
    text = write_games(60)
    data = (
        pack(text[: len(text) // 2])
        + pack(text[len(text) // 2 :])
        + b"\0" * 512 * (pack is gzip.compress)
    )
    found, blocks = blocks_of(data)
    assert (b"".join(block.data for block in found), blocks.damage) == (text, None)

    cut, blocks = blocks_of(pack(text) + data[: len(data) // 3])
    assert "truncated: ends at byte" in str(blocks.damage)
    assert b"".join(block.data for block in cut).startswith(text)
    spoiled = bytearray(pack(text))
    spoiled[len(spoiled) // 2 : len(spoiled) // 2 + 40] = b"\xaa" * 40
    assert "corrupt near byte" in str(blocks_of(bytes(spoiled))[1].damage)


def test_the_longest_window_is_read(write_games):
    text = write_games(3)
    block = (1 | len(text) << 3).to_bytes(3, "little") + text  # the last block, not compressed
    data = b"\x28\xb5\x2f\xfd" + bytes((0, 31 - 10 << 3)) + block  # as of zstd --long=31

    found, blocks = blocks_of(data)

    assert (b"".join(block.data for block in found), blocks.damage) == (text, None)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "empty"),
        (zstandard.compress(b""), "empty"),
        ('[Event "a"]\n\n1. e4 *\n'.encode("utf-16"), "UTF-16"),
        ('[Event "a"]\n\n1. e4 *\n'.encode("utf-16-be"), "UTF-16"),
        (b"PuzzleId,FEN\n" * 9, "no PGN"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "no PGN"),
    ],
    ids=["nothing", "nothing-packed", "utf16", "utf16-be", "table", "picture"],
)
def test_what_is_no_pgn_is_told(data, told):
    found, blocks = blocks_of(data)
    assert found == []
    assert told in str(blocks.damage)


GAME = '[Event "{}"]\n[Result "1-0"]\n\n1. e4 {{a "b" [c]}} e5 1-0'
JOINED = {
    "nothing": "",
    "a newline": "\n",
    "blanks": " \t",
    "an empty line with blanks": "\n \t \n",
    "a mark and blanks": "\n\n\ufeff  ",
    "old Macs' lines": "\r\r",
}


@pytest.mark.parametrize("between", JOINED.values(), ids=JOINED)
def test_games_are_told_apart_whatever_stands_between_them(between):
    text = between.join(GAME.format(n) for n in range(60))
    if "\r" in between:
        text = text.replace("\n", "\r")
    found, _ = blocks_of(text.encode())

    games = [game for block in found for _, game in split_games(block.data)]
    assert len(games) == 60
    assert all(game.split(b'"')[1] == str(n).encode() for n, game in enumerate(games))
    at = found[-1].offset
    rest, _ = blocks_of(text.encode(), at)
    assert b"".join(block.data for block in rest) == found[-1].data
