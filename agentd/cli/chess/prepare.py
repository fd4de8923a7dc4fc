"""``agentd chess prepare``: lichess dumps to shards of packed positions."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from agentd.chess.data.filter_file import load_filter
from agentd.chess.data.parsers import READERS, Parsers, open_reader
from agentd.chess.data.preparation import Preparation, PreparationJob, begin, facts
from agentd.cli.chess.prepare_view import PreparationView
from agentd.cli.cluster.options import RayFlags
from agentd.cli.screen.options import JsonScreen
from agentd.cli.screen.terminal import Terminal
from agentd.errors import ExitCode, UsageError
from agentd.games.chess.data.frames import PART_BYTES
from agentd.store import DirectoryLock

Dumps = Annotated[
    list[Path],
    typer.Argument(help="Dumps: PGN, plain or packed (zst, gz, bz2).", show_default=False),
]
Out = Annotated[Path, typer.Option("--out", help="The folder for the shards.")]
FilterFile = Annotated[
    Path | None,
    typer.Option("--filter", help="Which games and positions are kept (YAML).", show_default=False),
]
ReaderName = Annotated[
    str, typer.Option("--reader", help="python-chess, or rust (extra chess-fast, GPL-3).")
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, max=256, help="Processes, here.", show_default="one a core"),
]
ShardRows = Annotated[int, typer.Option("--shard-rows", min=1, max=2**26, help="Rows of a shard.")]

PartBytes = Annotated[
    int,
    typer.Option(
        "--part-bytes", min=1, help="Packed bytes of a part of a dump that pzstd has packed."
    ),
]


def prepare(
    screen: JsonScreen,
    cluster: RayFlags,
    dumps: Dumps,
    out: Out,
    filter_file: FilterFile = None,
    reader: ReaderName = "python-chess",
    workers: Workers = None,
    shard_rows: ShardRows = 2**20,
    part_bytes: PartBytes = PART_BYTES,
) -> None:
    """Turn lichess dumps into shards of packed positions.

    A run that was stopped, however, goes on from its last whole shard when it is given again. The
    shards are the same on any number of processes, and with --ray on any number of nodes.
    """
    if reader not in READERS:
        raise UsageError(f"no reader {reader!r}", hint=f"use one of {', '.join(READERS)}")
    open_reader(reader)
    count = workers or len(os.sched_getaffinity(0))
    job = PreparationJob(
        tuple(dumps), out, load_filter(filter_file), shard_rows, reader, count, part_bytes
    )
    manifest = begin(job)
    out.mkdir(parents=True, exist_ok=True)
    with (
        DirectoryLock(out / "lock", "folder of shards"),
        _parsers(screen, cluster, job) as parsers,
        PreparationView(screen, manifest) as view,
    ):
        Preparation(job, manifest, view.update, parsers).run()
        record = facts(manifest) | view.speeds()
    _report(screen, record, out)


@contextmanager
def _parsers(screen: Terminal, flags: RayFlags, job: PreparationJob) -> Iterator[Parsers | None]:
    """Tasks of a cluster where one is named; None for processes of this machine."""
    if flags.ray is None:
        yield None
        return
    from agentd.cluster.parsing import RayParsers

    with flags.connect(screen, job.workers) as cluster:
        yield RayParsers(cluster, job.reader, job.wanted.build())


def _report(screen: Terminal, record: dict[str, Any], out: Path) -> None:
    """Print the result; complain about dumps that broke off."""
    lines = [
        f"{record['rows']:,} positions in {record['shards']} shards: {out}",
        f"{record['games']:,} games read in {record['seconds']:.1f} s, "
        f"{record['games_per_second']:,.0f} games/s, {record['plies_per_second']:,.0f} plies/s",
    ]
    for what in ("dropped", "positions_dropped"):
        if record[what]:
            counts = ", ".join(f"{reason} {count:,}" for reason, count in record[what].items())
            lines.append(f"{what.replace('_', ' ')}: {counts}")
    screen.report(record, "\n".join(lines))
    for damage in record["damaged"]:
        screen.complain(f"agentd: {damage}; its games up to there are kept")
    if record["damaged"]:
        raise typer.Exit(ExitCode.BAD_DATA)
