"""A pool of processes that parse blocks of games: blocks in, results out in the same order."""

import gc
import signal
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection, wait
from typing import cast

from agentd.chess.process_pool import ProcessPool
from agentd.errors import JobFailed, UsageError
from agentd.extras import install_hint
from agentd.games.chess.data.blocks import ParsedBlock, pack_block, read_block, unpack_block
from agentd.games.chess.data.dump import DumpBlock
from agentd.games.chess.data.filter import Filter
from agentd.games.chess.data.pgn_reader import PgnReader, PythonChessReader

READERS = ("python-chess", "rust")
AHEAD = 3
"""Blocks a process may be ahead of the one whose result is awaited."""
_WHOLE, _CUT_OFF, _FAULT = b"w", b"c", b"!"
_GO_ON = "run the same command again: it goes on from the last shard"


def open_reader(name: str) -> PgnReader:
    """Return the reader ``name``. Raises UsageError where its package is missing."""
    if name == "rust":
        try:
            from agentd.games.chess.data.rust_reader import RustReader
        except ImportError:
            raise UsageError(
                "the reader `rust` is not installed",
                hint=f"{install_hint('chess-fast')}, or use --reader python-chess",
            ) from None
        return RustReader()
    return PythonChessReader()


class ParserPool(ProcessPool):
    """``count`` processes that parse games with ``reader``; a context manager."""

    def __init__(self, count: int, reader: str, wanted: Filter) -> None:
        super().__init__(count, _work, reader, wanted)

    def parse(self, blocks: Iterable[DumpBlock]) -> Iterator[tuple[DumpBlock, ParsedBlock]]:
        """Yield each block with its result, in the order of ``blocks``. Raises JobFailed."""
        source = iter(blocks)
        idle, busy = list(self.pipes), dict[Connection, int]()
        sent, given, more = 0, 0, True
        blocks_of: dict[int, DumpBlock] = {}
        results: dict[int, ParsedBlock] = {}
        while more or busy or results:
            while more and idle and sent - given < AHEAD * self.count:
                block = next(source, None)
                more = block is not None
                if block is not None:
                    pipe = idle.pop()
                    self._send(pipe, block)
                    busy[pipe], blocks_of[sent] = sent, block
                    sent += 1
            if given in results:
                yield blocks_of.pop(given), results.pop(given)
                given += 1
            elif busy:
                for pipe in cast("list[Connection]", wait(list(busy))):
                    results[busy.pop(pipe)] = self._receive(pipe)
                    idle.append(pipe)

    def _send(self, pipe: Connection, block: DumpBlock) -> None:
        try:
            pipe.send_bytes((_CUT_OFF if block.cut_off else _WHOLE) + block.data)
        except OSError:
            raise self._lost(pipe) from None

    def _receive(self, pipe: Connection) -> ParsedBlock:
        try:
            answer = pipe.recv_bytes()
        except (EOFError, OSError):
            raise self._lost(pipe) from None
        if answer[:1] == _FAULT:
            raise JobFailed(f"a parsing process failed: {answer[1:].decode()}", hint=_GO_ON)
        return unpack_block(answer[1:])

    def _lost(self, pipe: Connection) -> JobFailed:
        code = self.exit_code(pipe)
        return JobFailed(f"a parsing process died (code {code})", hint=_GO_ON)


def _work(pipe: Connection, reader_name: str, wanted: Filter) -> None:
    """Answer blocks until the parent goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    reader = open_reader(reader_name)
    gc.disable()  # boards and moves make no cycles, and looking for some costs a tenth
    while True:
        gc.collect(0)
        try:
            message = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        try:
            block = read_block(message[1:], reader, wanted, cut_off=message[:1] == _CUT_OFF)
            answer = _WHOLE + pack_block(block)
        except Exception as fault:
            answer = _FAULT + f"{type(fault).__name__}: {fault}".encode()
        try:
            pipe.send_bytes(answer)
        except OSError:
            return
