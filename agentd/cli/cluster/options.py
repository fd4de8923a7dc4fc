"""The options ``--ray`` and ``--ray-insecure``."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from agentd.cli.screen.terminal import Terminal
from agentd.errors import UsageError

if TYPE_CHECKING:
    from agentd.cluster.session import Cluster

AVERAGE_EVERY = 16
Members = Annotated[
    int | None,
    typer.Option(min=1, max=4096, help="How many train, with --ray.", show_default=False),
]
AverageEvery = Annotated[
    int | None,
    typer.Option(
        min=1, help="Steps of each member between two averages.", show_default=str(AVERAGE_EVERY)
    ),
]


@dataclass(frozen=True)
class RayFlags:
    """Where the Ray cluster is that works, if any."""

    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="ADDRESS",
            help="Work on a Ray cluster: auto, local or HOST:PORT (extra ray).",
            show_default=False,
        ),
    ] = None
    ray_insecure: Annotated[
        bool,
        typer.Option("--ray-insecure", help="Use a cluster that asks nobody for a token."),
    ] = False

    def members(self, count: int | None, every: int | None) -> tuple[int, int] | None:
        """Return how many members train and the steps between two averages; None for one here.

        Raises UsageError where the options do not go together.
        """
        if (self.ray is None) != (count is None):
            raise UsageError("--ray and --members go together")
        if count is None and every is not None:
            raise UsageError("--average-every goes with --ray and --members")
        return None if count is None else (count, every or AVERAGE_EVERY)

    @contextmanager
    def connect(self, screen: Terminal, cpus: int | None = None) -> "Iterator[Cluster]":
        """Connect to the cluster; ``cpus`` are those of a ``local`` one."""
        from agentd.cluster.session import connect

        assert self.ray is not None
        with connect(self.ray, insecure=self.ray_insecure, cpus=cpus, tell=screen.note) as cluster:
            yield cluster
