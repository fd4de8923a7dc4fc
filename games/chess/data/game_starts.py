"""Where games begin in a text of PGN: what is looked at before a game is taken apart.

A game begins at a tag after an empty line. Where files were joined or written carelessly there is
none: then it begins at the first tag after moves, on a line of its own or right behind a result.
"""

import re
from collections.abc import Iterator
from itertools import islice, pairwise

HEAD = re.compile(rb"(?:\s*(?:\xef\xbb\xbf\s*)?\[[^\r\n]*)*")
"""A game's tags: lines that begin with a bracket, or a byte order mark and a bracket."""
GAME_START = re.compile(rb"\n[ \t\r]*\n(?:\xef\xbb\xbf)?(?=[ \t]*\[[A-Za-z])")
_TAG = re.compile(rb'\[[A-Za-z]\w*[ \t]+"')
_ENDS = (b"\n", b"1-0", b"0-1", b"1/2-1/2", b"*")
"""What stands before a game's first tag: a line's end, a result."""


def first_game_start(text: bytes) -> int:
    """Return where the first game after the beginning of ``text`` begins, 0 where none does."""
    found = GAME_START.search(text)
    starts = [found.end()] if found else []
    return min([*starts, *islice(_starts_after_moves(text, 0), 1)], default=0)


def last_game_start(text: bytes | bytearray) -> int:
    """Return where the last game in ``text`` begins, 0 where no other than the first does."""
    end = 0
    for found in GAME_START.finditer(text):
        end = found.end()
    hidden = _hidden_starts(bytes(text[end:]))
    return end + hidden[-1] if hidden else end


def split_games(block: bytes) -> list[tuple[int, bytes]]:
    """Return (offset in the block, text) of each game."""
    starts = [0, *(found.end() for found in GAME_START.finditer(block))]
    games = []
    for start, end in zip(starts, [*starts[1:], len(block)], strict=True):
        text = block[start:end]
        games.append((start, text))
        if hidden := _hidden_starts(text):
            cuts = [0, *hidden, len(text)]
            games[-1:] = [(start + a, text[a:b]) for a, b in pairwise(cuts)]
    return games


def _hidden_starts(text: bytes) -> list[int]:
    """Return where games begin in the text of one, behind its moves."""
    plain_head = text.find(b"]\n\n")
    if plain_head >= 0 and text.find(b'"', plain_head) < 0:
        return []  # no tag's value follows: so it is with almost every game, and is seen at once
    return list(_starts_after_moves(text, _head_end(text, 0)))


def _starts_after_moves(text: bytes, moves: int) -> Iterator[int]:
    """Yield where games begin in ``text``, whose first one has moves at ``moves``."""
    while found := _TAG.search(text, moves):
        moves, start = found.end(), found.start()
        before = text[max(0, start - 64) : start].removesuffix(b"\xef\xbb\xbf").rstrip(b" \t")
        if before.endswith(_ENDS):
            yield start
            moves = _head_end(text, start)


def _head_end(text: bytes, start: int) -> int:
    found = HEAD.match(text, start)
    return found.end() if found else start
