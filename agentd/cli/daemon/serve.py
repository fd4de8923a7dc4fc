"""``agentd serve``: the daemon in the foreground."""

import asyncio
import errno
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from agentd.assembly.device import backend_for
from agentd.auth import Tokens
from agentd.cli.bare_flags import GODOT
from agentd.cli.daemon.ports import find_holder
from agentd.cli.daemon.systemd import ServiceManager
from agentd.cli.screen.flags import ServerFlags
from agentd.cli.screen.options import LogScreen
from agentd.cli.screen.terminal import Terminal
from agentd.config import ConfigError, ServerConfig, resolve
from agentd.config.records import INT8
from agentd.errors import StorageError, Unavailable, UsageError
from agentd.protocol.address import host_port
from agentd.recording.recorder import Recorder
from agentd.server.agents.stored import StoredAgents
from agentd.server.batching.actor import build_kernels
from agentd.server.server import Server
from agentd.server.worker import Worker, read_task
from agentd.store import DirectoryLock

_SWITCH_S = 1e-4
"""Longest time that another thread keeps Python's global lock once the event loop asks for it.

Threads read, build and save agents meanwhile. Python's default, 5 ms, is a third of a frame.
"""


def serve(
    out: LogScreen,
    flags: ServerFlags,
    workers: Annotated[
        int | None,
        typer.Option(help="Serving processes; more than one for agents that do not learn."),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(help="Write each session into a file there.", show_default=False),
    ] = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option(help="Write TensorBoard's event files there.", show_default=False),
    ] = None,
    godot: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:PORT]",
            help=f"Also take in games of Godot RL Agents, at {GODOT} where no address is given.",
        ),
    ] = None,
    until_eof: Annotated[
        bool,
        typer.Option("--until-eof", hidden=True, help="End when stdin ends: for our own parents."),
    ] = False,
    worker: Annotated[int | None, typer.Option(hidden=True, help="For our own parent.")] = None,
) -> None:
    """Run the daemon until SIGTERM or Ctrl-C; both save and end orderly.

    Prints `listening on H:P` once it is ready; logs go to stderr.
    """
    if worker is not None:
        run_worker(worker)
        return
    others = {"workers": workers, "tensorboard": tensorboard, **_godot_values(godot)}
    resolved = resolve(flags.config, flags.values(**others), os.environ)
    if until_eof:
        _end_with_stdin()
    if record is not None and resolved.config.workers > 1:
        raise UsageError("--record needs one serving process: --workers 1")
    run_server(resolved.config, out, record)


def run_server(config: ServerConfig, out: Terminal, record: Path | None = None) -> None:
    """Serve with ``config`` until a signal; addresses go to ``out``, sessions to ``record``."""
    if config.device == INT8:
        _refuse_learning(Path(config.data_dir))
    elif config.device != "cpu":
        config = _with_present_device(config)
    tokens = Tokens.from_file(Path(config.tokens)) if config.tokens else Tokens()
    data_dir = Path(config.data_dir)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"data directory {data_dir}: {error.strerror}") from None

    def on_ready(addresses: list[str]) -> None:
        for address in addresses:
            out.say(f"listening on {address}")
        manager.ready(f"listening on {', '.join(addresses)}")

    manager = ServiceManager(os.environ)
    recorder = None if record is None else _open_recorder(record)

    async def main() -> None:
        server = Server(config, tokens, data_dir, recorder=recorder)
        said = asyncio.create_task(manager.accompany(server.stopping))
        try:
            await server.run(on_ready, leave=os._exit)
        finally:
            said.cancel()

    lock = DirectoryLock(data_dir / "lock", f"data directory {data_dir}")
    with lock, manager, _make_runner() as runner:
        try:
            runner.run(main())
        except* OSError as group:
            raise explain_bind(group, config) from None
        finally:
            if recorder is not None:
                recorder.close()


def _open_recorder(folder: Path) -> Recorder:
    try:
        return Recorder(folder)
    except OSError as error:
        raise StorageError(f"--record {folder}: {error.strerror}") from None


def _godot_values(address: str | None) -> dict[str, str | int]:
    """The address of --godot as values of the configuration. Raises UsageError."""
    if address is None:
        return {}
    host, _, port = address.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"--godot {address}: want HOST:PORT, :PORT or PORT")
    given = {"godot.host": host.strip("[]")} if host else {}
    return {**given, "godot.port": int(port)}


def _refuse_learning(data_dir: Path) -> None:
    """Raise ConfigError where an agent of the data directory learns, which cpu-int8 cannot."""
    if learning := StoredAgents(data_dir / "agents").learning():
        said = f"device {INT8} only plays, and agents of {data_dir} learn: {', '.join(learning)}"
        raise ConfigError(said, key="device", hint="serve them on another device")


def _with_present_device(config: ServerConfig) -> ServerConfig:
    """Return ``config`` with a device that is there and has its kernels.

    What is wrong is told now, and once.
    """
    backend = backend_for(config.device)
    if backend.name != "opencl":
        return msgspec.structs.replace(config, device="cpu")
    build_kernels(backend)  # before the first hello, which would have to wait for it
    return msgspec.structs.replace(config, device=config.device.removesuffix("!"))


def run_worker(descriptor: int) -> None:
    """Be a further serving process of the daemon at the other end of ``descriptor``."""
    sock = socket.socket(fileno=descriptor)
    config, number, data_dir = read_task(sock)
    tokens = Tokens.from_file(Path(config.tokens)) if config.tokens else Tokens()

    async def main() -> None:
        await Worker(config, tokens, data_dir, number, sock).run(lambda addresses: None)

    with _make_runner() as runner:
        runner.run(main())


def _make_runner() -> asyncio.Runner:
    """Return what runs a serving process, which gives answers before it does anything else."""
    sys.setswitchinterval(_SWITCH_S)
    return asyncio.Runner(loop_factory=loop_factory())


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's event loop, or asyncio's own where uvloop is absent."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def explain_bind(error: BaseException, config: ServerConfig) -> BaseException:
    """``error`` as Unavailable when an address could not be bound; else ``error`` itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, OSError):
        return error
    if error.errno == errno.EADDRINUSE:
        godot = config.godot.port if config.godot is not None else None
        doors = (("--port", config.port), ("--http-port", config.http_port), ("--godot", godot))
        for flag, port in doors:
            if port and (holder := find_holder(port)) is not None:
                hint = f"stop it, or choose another with {flag}"
                return Unavailable(f"port {port} is in use by {holder}", hint=hint)
        ports = " or ".join(str(port) for _, port in doors if port)
        hint = "choose others: " + ", ".join(flag for flag, port in doors if port)
        return Unavailable(f"port {ports} is in use", hint=hint)
    if error.errno in (errno.EADDRNOTAVAIL, errno.EACCES) or "getaddrinfo" in str(error):
        where = host_port(config.host, config.port)
        return Unavailable(f"cannot listen on {where}: {error.strerror}")
    return error


def _end_with_stdin() -> None:
    """Treat the end of stdin as SIGTERM, so that a daemon never outlives the command it is for."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 4096):  # sys.stdin's own lock would outlive the thread
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
