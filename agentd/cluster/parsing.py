"""Parsers of ``chess prepare`` on a cluster: blocks of a dump, or parts of it, as tasks."""

import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from agentd.chess.data.parsers import open_reader
from agentd.chess.data.parts import PartTask, read_part
from agentd.cluster.ordered import map_ordered
from agentd.cluster.session import Cluster
from agentd.errors import MissingInput
from agentd.games.chess.data.blocks import ParsedBlock, pack_block, read_block, unpack_block
from agentd.games.chess.data.dump import DumpBlock
from agentd.games.chess.data.filter import Filter

SHARED = "a cluster reads dumps from storage that all its nodes share, and writes there too"


@dataclass(frozen=True, slots=True)
class _BlockWork:
    data: bytes
    cut_off: bool
    reader: str
    wanted: Filter


@dataclass(frozen=True, slots=True)
class _PartWork:
    task: PartTask
    reader: str
    wanted: Filter


class RayParsers:
    """Tasks that parse games with ``reader``: what `ParserPool` does, on all nodes.

    A task takes one CPU. One whose node dies begins again elsewhere.
    """

    def __init__(self, cluster: Cluster, reader: str, wanted: Filter) -> None:
        self._cluster, self._reader, self._wanted = cluster, reader, wanted

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass  # whoever stops to take results has cancelled what runs

    def parse(self, blocks: Iterable[DumpBlock]) -> Iterator[tuple[DumpBlock, ParsedBlock]]:
        """Yield each block with its result, in the order of ``blocks``. Raises JobFailed."""
        kept: list[DumpBlock] = []  # of which results are awaited, in order

        def items() -> Iterator[_BlockWork]:
            for block in blocks:
                kept.append(block)
                yield _BlockWork(block.data, block.cut_off, self._reader, self._wanted)

        for _, answer in map_ordered(self._cluster, parse_block, items()):
            yield kept.pop(0), unpack_block(answer)

    def read_parts(self, tasks: Iterable[PartTask]) -> Iterator[PartTask]:
        """Yield each part once its file is there, in the order of ``tasks``.

        Raises JobFailed, and MissingInput for a node without the dump or the folder.
        """
        items = (_PartWork(task, self._reader, self._wanted) for task in tasks)
        for part, node in map_ordered(self._cluster, read_part_here, items):
            if not Path(part.task.target).exists():
                raise MissingInput(
                    f"node {node} has written {part.task.target}, and here is no such file",
                    hint=SHARED,
                )
            yield part.task


def parse_block(block: _BlockWork) -> bytes:
    """Parse a block on a node; packed by ``pack_block``."""
    reader = open_reader(block.reader)
    return pack_block(read_block(block.data, reader, block.wanted, cut_off=block.cut_off))


def read_part_here(part: _PartWork) -> str:
    """Parse a part on a node into its file; return the node's name.

    Raises MissingInput where the node has no such dump or no such folder.
    """
    node = socket.gethostname()
    dump, folder = Path(part.task.dump), Path(part.task.target).parent
    if not dump.is_file():
        raise MissingInput(f"node {node} has no dump {dump}", hint=SHARED)
    if dump.stat().st_size != part.task.size:
        raise MissingInput(
            f"node {node} has another {dump}: {dump.stat().st_size} bytes, "
            f"expected {part.task.size}",
            hint=SHARED,
        )
    if not folder.is_dir():
        raise MissingInput(f"node {node} has no folder {folder}", hint=SHARED)
    read_part(part.task, open_reader(part.reader), part.wanted)
    return node
