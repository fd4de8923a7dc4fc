"""Parts of a dump: where they are cut, and that together they are the whole, however it is cut."""

import random
from pathlib import Path

import pytest
import zstandard

from agentd.games.chess.data.dump import DumpBlocks, read_dump
from agentd.games.chess.data.frames import HEADER, DumpPart, PartText, cut_parts
from agentd.games.chess.data.game_starts import split_games
from agentd.games.chess.data.packed import CountedFile, TextDamaged


def pack(text: bytes, cuts: list[int]) -> bytes:
    """``text`` as pzstd packs it: a frame for each piece, behind a frame that tells its size."""
    compressor = zstandard.ZstdCompressor()
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    frames = [compressor.compress(piece) for piece in pieces]
    return b"".join(HEADER.pack(b"\x50\x2a\x4d\x18", 4, len(f)) + f for f in frames)


def owned(dump: Path, part_bytes: int) -> list[bytes]:
    """The text of each part."""
    texts = []
    for part in cut_parts(dump, part_bytes):
        with PartText(dump, part) as text:
            texts.append(b"".join(text))
    return texts


def test_frames_are_found_by_their_headers(tmp_path: Path) -> None:
    dump = tmp_path / "a.zst"
    dump.write_bytes(pack(b"x" * 3000, [1000, 2000]))
    sizes = [part.end - part.start for part in cut_parts(dump, 1)]

    assert len(sizes) == 3
    assert cut_parts(dump, 10**6) == [DumpPart(0, sum(sizes))]
    assert sum(sizes) == dump.stat().st_size


@pytest.mark.parametrize("data", [b'[Event "a"]\n', zstandard.compress(b"text" * 99), b""])
def test_a_dump_without_headers_is_one_part(data: bytes, tmp_path: Path) -> None:
    dump = tmp_path / "a.pgn"
    dump.write_bytes(data)

    assert cut_parts(dump, 1) == [DumpPart(0, len(data))]


def test_where_headers_end_the_rest_is_one_part(tmp_path: Path) -> None:
    dump = tmp_path / "a.zst"
    indexed = pack(b"x" * 3000, [1000])
    dump.write_bytes(indexed + zstandard.compress(b"y" * 1000))

    parts = cut_parts(dump, 1)

    assert [parts[-1].start, parts[-1].end] == [len(indexed), dump.stat().st_size]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\n \t", b"\n\xef\xbb\xbf"])
def test_parts_together_are_the_whole_wherever_frames_are_cut(
    write_games, tmp_path: Path, newline: bytes
) -> None:
    text = write_games(12, seed=3, plies=12)
    if newline == b"\n\xef\xbb\xbf":
        text = text.replace(b"\n\n[", b"\n\n\xef\xbb\xbf[")
    elif newline == b"\n \t":
        text = text.replace(b"\n\n[", b"\n \t\r\n\n[")
    else:
        text = text.replace(b"\n", newline)
    rng = random.Random(7)
    begins = [start for start, _ in split_games(text)]
    near = [at + by for at in begins for by in range(-5, 4) if 0 < at + by < len(text)]
    for round_number in range(40):
        count = rng.randrange(1, 40)
        cuts = sorted(set(rng.sample(range(1, len(text)), count) + rng.sample(near, 10)))
        if round_number == 0:
            cuts = sorted(set(near))
        dump = tmp_path / "a.zst"
        dump.write_bytes(pack(text, cuts))

        texts = owned(dump, rng.choice((1, 500, 2000)))

        assert b"".join(texts) == text
        whole = [game for _, game in split_games(text)]
        assert [game for each in texts if each for _, game in split_games(each)] == whole


def test_a_damaged_part_tells_what_the_whole_tells(write_games, tmp_path: Path) -> None:
    text = write_games(30, seed=1, plies=20)
    data = pack(text, [5000, 9000, 14000])
    dump = tmp_path / "a.zst"
    dump.write_bytes(data[: len(data) - 900])
    with CountedFile(dump) as file:
        whole = DumpBlocks(read_dump(file), file)
        games = b"".join(block.data for block in whole)
    found, damage = [], None
    for part in cut_parts(dump, 1):
        with PartText(dump, part) as pieces:
            blocks = DumpBlocks(pieces, pieces)
            found += [block.data for block in blocks]
            damage = damage or blocks.damage

    assert b"".join(found) == games
    assert damage == whole.damage is not None


def test_a_broken_frame_ends_a_part(tmp_path: Path) -> None:
    data = bytearray(pack(b'[Event "a"]\n' * 999, [6000]))
    data[30:40] = b"\0" * 10
    dump = tmp_path / "a.zst"
    dump.write_bytes(data)

    with PartText(dump, cut_parts(dump, 1)[0]) as pieces, pytest.raises(TextDamaged):
        b"".join(pieces)
