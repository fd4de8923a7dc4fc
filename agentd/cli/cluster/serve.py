"""``agentd cluster serve``: daemons on several nodes, and one learner for all of them."""

import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from agentd.cli.cluster.options import RayFlags
from agentd.cli.screen.options import LogScreen
from agentd.config import resolve
from agentd.errors import MissingInput


def serve(
    out: LogScreen,
    cluster: RayFlags,
    config: Annotated[Path, typer.Argument(help="The configuration of every daemon.")],
    data_dir: Annotated[
        Path, typer.Option(help="Where each node keeps what it has, on a disk of its own.")
    ],
    replicas: Annotated[int, typer.Option(min=1, max=64, help="How many daemons.")] = 2,
    host: Annotated[
        str, typer.Option(help="Address that each daemon listens at; 127.0.0.1 for one machine.")
    ] = "0.0.0.0",
    port: Annotated[
        int, typer.Option(min=0, max=65000, help="Of the first; the others count on from it.")
    ] = 7331,
    learner_on: Annotated[
        str | None,
        typer.Option(metavar="RESOURCE", help="Have the learner on a node with this Ray resource."),
    ] = None,
) -> None:
    """Run daemons on the nodes of a Ray cluster, with one learner for all, until Ctrl-C.

    Prints where each listens. Games connect with all of the addresses, a comma between two.
    """
    device = _require_shareable(config, host)
    flags = replace(cluster, ray=cluster.ray or "auto")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    with flags.connect(out) as connected:
        from agentd.cluster.replicas import serving

        with serving(
            connected,
            config.read_text(),
            replicas,
            data_dir.absolute(),
            host=host,
            port=port,
            learner_on={} if learner_on is None else {learner_on: 1.0},
            device=device,
        ) as daemons:
            for each in daemons:
                out.say(f"replica {each.number} listening on {each.address}")
            stop.wait()


def _require_shareable(config: Path, host: str) -> str:
    """Check every agent of a configuration, and who may connect; return the device it names."""
    if not config.is_file():
        raise MissingInput(f"no configuration {config}")
    found = resolve(config, {"shared_learner.address": "ray:auto", "host": host}, {}).config
    return found.device
