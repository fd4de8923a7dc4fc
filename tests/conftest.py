"""What every test sees: one BLAS thread, no AGENTD_* of the caller, a data directory of its own."""

import gc
import itertools
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Before anything imports NumPy: small matrices are slower on many threads, and the tests of the
# daemon start processes that inherit this.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The tests start hundreds of processes: without bytecode on disk each would compile all of agentd.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# A shell starts what it runs in the background with Ctrl-C ignored, and so would all we start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: short ones fill the end, where one process waits."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """What the collection has made stays to the end: no search for garbage looks at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Data directories that nobody has made yet: most tests need none."""
    base = tmp_path_factory.mktemp("homes")
    return (base / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, _homes: Iterator[Path]) -> None:
    ours = {name for name in os.environ if name.startswith("AGENTD_")}
    for name in ours - {"AGENTD_DATA"}:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(next(_homes)))


@pytest.fixture(scope="session")
def write_games() -> Callable[..., bytes]:
    """``write_games(20, seed=1)``: PGN of random games, with evaluations and clocks."""

    def write(count: int, seed: int = 0, plies: int = 60, **tags: str) -> bytes:
        rng = random.Random(seed)
        return "".join(_write_game(rng, n, plies, tags) for n in range(count)).encode()

    return write


@pytest.fixture(scope="session")
def compress() -> Callable[[bytes], bytes]:
    """``compress(text)``: zstd in small blocks, so that half a file is about half the text."""
    import zstandard

    def compress(text: bytes) -> bytes:
        frame = zstandard.ZstdCompressor().compressobj()
        parts = (text[at : at + 2000] for at in range(0, len(text), 2000))
        flush = zstandard.COMPRESSOBJ_FLUSH_BLOCK
        return b"".join(frame.compress(part) + frame.flush(flush) for part in parts) + frame.flush()

    return compress


def _write_game(rng: random.Random, number: int, plies: int, tags: dict[str, str]) -> str:
    import chess

    board, words = chess.Board(), []
    for ply in range(plies):
        if board.is_game_over():
            break
        move = rng.choice(list(board.legal_moves))
        dots = f"{ply // 2 + 1}." if ply % 2 == 0 else f"{ply // 2 + 1}..."
        value = f"#{rng.choice((-3, 7))}" if rng.random() < 0.1 else f"{rng.uniform(-9, 9):.2f}"
        left = 300 - 2 * ply
        clock = f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02}"
        words.append(f"{dots} {board.san(move)} {{ [%eval {value}] [%clk {clock}] }}")
        board.push(move)
    result = board.result() if board.is_game_over() else rng.choice(("1-0", "0-1", "1/2-1/2"))
    head = {
        "Event": "Rated Blitz game",
        "Site": f"https://lichess.org/{number:08}",
        "White": f"player{rng.randrange(5)}",
        "Black": f"other{rng.randrange(5)}",
        "Result": result,
        "WhiteElo": str(rng.randrange(900, 2400)),
        "BlackElo": str(rng.randrange(900, 2400)),
        "TimeControl": "300+0",
        "Termination": "Normal",
        **tags,
    }
    lines = "".join(f'[{tag} "{value}"]\n' for tag, value in head.items())
    return f"{lines}\n{' '.join(words)} {head['Result']}\n\n"


@pytest.fixture(scope="session")
def check_rows() -> Callable[[Any, int, int], None]:
    """``check_rows(rows, lo, hi)``: raise ReplayError unless a ring's readers can rely on them."""
    import numpy as np

    from agentd.engine.replay.rows import FIRST, TERMINATED, ReplayError

    def check(rows: Any, lo: int, hi: int) -> None:
        if not 0 <= hi - lo <= rows.capacity:
            raise ReplayError(f"rows [{lo}, {hi}) do not fit into {rows.capacity} slots")
        row = np.arange(lo, hi)
        kind, after = rows.kind[row % rows.capacity], rows.next[row % rows.capacity]
        linked = after >= 0
        if (after[linked] <= row[linked]).any():
            raise ReplayError("a row's next row is not later than itself")
        if linked[kind >= TERMINATED].any():
            raise ReplayError("a row follows the end of an episode")
        inside = after[linked & (after < hi)]
        if len(np.unique(inside)) != len(inside):
            raise ReplayError("two rows share one next row")
        if (rows.kind[inside % rows.capacity] == FIRST).any():
            raise ReplayError("a first row follows another row")

    return check
