"""A pool of processes that parse blocks of games: blocks in, results out in the same order."""

import gc
import signal
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Protocol, Self, TypeVar, cast

import msgspec

from agentd.chess.data.parts import PartTask, read_part
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
_WHOLE, _CUT_OFF, _PART, _FAULT = b"w", b"c", b"p", b"!"
Item = TypeVar("Item")
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


class Parsers(Protocol):
    """Parses blocks and parts of dumps, somewhere; a context manager."""

    def parse(self, blocks: Iterable[DumpBlock]) -> Iterator[tuple[DumpBlock, ParsedBlock]]: ...

    def read_parts(self, tasks: Iterable[PartTask]) -> Iterator[PartTask]: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class ParserPool(ProcessPool):
    """``count`` processes that parse games with ``reader``; a context manager."""

    def __init__(self, count: int, reader: str, wanted: Filter) -> None:
        super().__init__(count, _work, reader, wanted)
        self._owed: set[Connection] = set()  # pipes with an answer that nobody took

    def parse(self, blocks: Iterable[DumpBlock]) -> Iterator[tuple[DumpBlock, ParsedBlock]]:
        """Yield each block with its result, in the order of ``blocks``. Raises JobFailed."""
        for block, answer in self._in_order(blocks, _block_message):
            yield block, unpack_block(answer)

    def read_parts(self, tasks: Iterable[PartTask]) -> Iterator[PartTask]:
        """Yield each part once its file is there, in the order of ``tasks``. Raises JobFailed."""
        for task, _ in self._in_order(tasks, _part_message):
            yield task

    def _in_order(
        self, items: Iterable[Item], message: Callable[[Item], bytes]
    ) -> Iterator[tuple[Item, bytes]]:
        for pipe in [*self._owed]:  # of work that was given up
            self._receive(pipe)
        source = iter(items)
        idle, busy = list(self.pipes), dict[Connection, int]()
        sent, given, more = 0, 0, True
        items_of: dict[int, Item] = {}
        results: dict[int, bytes] = {}
        while more or busy or results:
            while more and idle and sent - given < AHEAD * self.count:
                item = next(source, None)
                more = item is not None
                if item is not None:
                    pipe = idle.pop()
                    self._send(pipe, message(item))
                    busy[pipe], items_of[sent] = sent, item
                    sent += 1
            if given in results:
                yield items_of.pop(given), results.pop(given)
                given += 1
            elif busy:
                for pipe in cast("list[Connection]", wait(list(busy))):
                    results[busy.pop(pipe)] = self._receive(pipe)
                    idle.append(pipe)

    def _send(self, pipe: Connection, message: bytes) -> None:
        try:
            pipe.send_bytes(message)
        except OSError:
            raise self._lost(pipe) from None
        self._owed.add(pipe)

    def _receive(self, pipe: Connection) -> bytes:
        try:
            answer = pipe.recv_bytes()
        except (EOFError, OSError):
            raise self._lost(pipe) from None
        self._owed.discard(pipe)
        if answer[:1] == _FAULT:
            raise JobFailed(f"a parsing process failed: {answer[1:].decode()}", hint=_GO_ON)
        return answer[1:]

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
            answer = _WHOLE + _answer(message, reader, wanted)
        except Exception as fault:
            answer = _FAULT + f"{type(fault).__name__}: {fault}".encode()
        try:
            pipe.send_bytes(answer)
        except OSError:
            return


def _answer(message: bytes, reader: PgnReader, wanted: Filter) -> bytes:
    kind, body = message[:1], message[1:]
    if kind == _PART:
        read_part(msgspec.json.decode(body, type=PartTask), reader, wanted)
        return b""
    return pack_block(read_block(body, reader, wanted, cut_off=kind == _CUT_OFF))


def _block_message(block: DumpBlock) -> bytes:
    return (_CUT_OFF if block.cut_off else _WHOLE) + block.data


def _part_message(task: PartTask) -> bytes:
    return _PART + msgspec.json.encode(task)
