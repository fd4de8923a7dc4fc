"""The options ``--ray`` and ``--ray-insecure``."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from agentd.cli.screen.terminal import Terminal

if TYPE_CHECKING:
    from agentd.cluster.session import Cluster


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

    @contextmanager
    def connect(self, screen: Terminal, cpus: int | None = None) -> "Iterator[Cluster]":
        """Connect to the cluster; ``cpus`` are those of a ``local`` one."""
        from agentd.cluster.session import connect

        assert self.ray is not None
        with connect(self.ray, insecure=self.ray_insecure, cpus=cpus, tell=screen.note) as cluster:
            yield cluster
