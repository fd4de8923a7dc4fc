"""Where a client is checked: a listener, and the client's process where we start it."""

import asyncio
import contextlib
import os
import signal
import socket
import tempfile
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agentd.conformance.answers import Answers
from agentd.conformance.findings import Findings
from agentd.conformance.observer import Observer
from agentd.conformance.visit import Absent, Over, Player, Visit
from agentd.errors import MissingInput, Unavailable
from agentd.protocol import messages as m
from agentd.protocol.address import host_port
from agentd.protocol.errors import Code

ADDRESS = "{address}"
FIRST_S = 60.0
"""Seconds that the first client of all may take to connect, where we do not start it."""
STOP_S = 2.0
TURN_S = 0.01
LIMIT = 1 << 24  # bytes that a connection may hold unread


class Stage:
    """Takes the client's connections one after the other; one game start after the other.

    findings  the rules
    observer  the client since its last start
    player    its answers
    notes     why a scene ended before its end, by the scene's name
    """

    def __init__(self, command: Sequence[str], patience: float, seed: int = 0) -> None:
        """``command`` starts the client; empty where somebody else does."""
        self.findings = Findings()
        self.notes: dict[str, str] = {}
        self.patience = patience
        self.process: asyncio.subprocess.Process | None = None
        self._command, self._rng = list(command), np.random.default_rng(seed)
        self._arrived: deque[socket.socket] = deque()
        self._socket: socket.socket | None = None
        self._visits: list[Visit] = []
        self._runs: set[bytes] = set()
        self._clients = 0  # that have connected
        self._output: Path | None = None
        self.address = ""
        self._reset()

    def _reset(self) -> None:
        self.observer = Observer(self.findings)
        self.player = Player(Answers(None, False, self._rng))
        self.session = os.urandom(16)

    @property
    def clients(self) -> int:
        """Connections that have come."""
        return self._clients

    @property
    def starts_it(self) -> bool:
        """Whether we start the client."""
        return bool(self._command)

    async def listen(self, host: str, port: int) -> str:
        """Listen; return the address. Raises Unavailable."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family)
        except OSError as fault:
            where = host_port(host, port)
            raise Unavailable(f"cannot listen on {where}: {fault.strerror}") from None
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._accept, self._socket)
        host, port = self._socket.getsockname()[:2]
        self.address = host_port(host, port)
        return self.address

    async def close(self) -> None:
        """End the client that we started, and listen no more."""
        await self.leave()
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
        self._send_away()
        await asyncio.sleep(0)  # transports let go of their sockets

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            taken, _ = listener.accept()
            taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._arrived.append(taken)

    # -- one scene -----------------------------------------------------------------------------

    async def enter(self) -> None:
        """A scene begins: start the client, where that is ours to do. Raises MissingInput."""
        self._reset()
        if not self.starts_it:
            return
        words = [word.replace(ADDRESS, self.address) for word in self._command]
        file, name = tempfile.mkstemp(prefix="agentd-client-", suffix=".log")
        self._output = Path(name)
        try:
            self.process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        except OSError as fault:
            raise MissingInput(f"cannot start {words[0]}: {fault.strerror}") from None
        finally:
            os.close(file)

    async def leave(self) -> None:
        """A scene is over: let go of its connections and of the client that we started."""
        for visit in self._visits:
            visit.check_pings()
            await visit.gone()
        self._visits.clear()
        if self.process is not None:
            await _end(self.process)
            self.process = None
            self._send_away()
        if self._output is not None:
            self._output.unlink(missing_ok=True)
            self._output = None

    def _send_away(self) -> None:
        """Break the connections that nobody has taken."""
        while self._arrived:
            self._arrived.popleft().close()

    def last_words(self) -> str:
        """The last line that the client has written, "" where it wrote none."""
        if self._output is None:
            return ""
        with contextlib.suppress(OSError):
            lines = self._output.read_text(errors="replace").split("\n")
            return next((line.strip() for line in reversed(lines) if line.strip()), "")
        return ""

    async def visit(self, seconds: float | None = None) -> Visit | None:
        """The client's next connection; None when it does not come within ``seconds``."""
        loop = asyncio.get_running_loop()
        until = loop.time() + (self.patience if seconds is None else seconds)
        while not self._arrived:
            ended = self.process is not None and self.process.returncode is not None
            if ended or loop.time() > until:
                return None
            await asyncio.sleep(TURN_S)
        taken = self._arrived.popleft()
        return self._begin(*await asyncio.open_connection(sock=taken, limit=LIMIT))

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Visit:
        self._clients += 1
        for before in self._visits:
            before.check_pings()
            before.retired = True
        visit = Visit(self.observer, reader, writer, self.patience)
        self._visits.append(visit)
        return visit

    async def meet(self) -> Visit:
        """The client's first connection in a scene, its hello read. Raises Absent, Over."""
        first = not self._clients and not self.starts_it
        visit = await self.visit(max(FIRST_S, self.patience) if first else None)
        if visit is None:
            raise Absent(self._absence())
        hello = await visit.hello()
        if self.starts_it:
            run = hello.run.hex()
            new = hello.run not in self._runs
            self.findings.check("R4 run", new, "another run at each start", f"{run} again")
            self._runs.add(hello.run)
        if self.observer.shape is None and hello.role != "admin":
            visit.fail(Code.BAD_HELLO, "check-client cannot play this schema")
            raise Over("the schema of its hello cannot be played")
        return visit

    def _absence(self) -> str:
        code = None if self.process is None else self.process.returncode
        if code is None:
            return "no client connected"
        return f"the client ended with code {code} before it connected"

    def welcome(self, visit: Visit, **facts: object) -> None:
        """Begin a new session on this connection."""
        self.session = os.urandom(16)
        hello = self.observer.hello
        explain = hello is not None and hello.explain
        version = self.player.version
        self.player = Player(Answers(self.observer.shape, explain, self._rng))
        self.player.version = version
        visit.welcome(self.session, **facts)

    async def start(self, **facts: object) -> Visit:
        """Meet the client and welcome it. Raises Over."""
        visit = await self.meet()
        self.welcome(visit, **facts)
        return visit

    async def comes_back(self, seconds: float | None = None) -> Visit | None:
        """The client's connection after it lost one, its hello read; None if it does not come."""
        visit = await self.visit(seconds)
        if visit is not None:
            await visit.hello()
        return visit

    @property
    def newer(self) -> bool:
        """Whether the session under way is of version 2."""
        welcome: m.Welcome | None = self.observer.welcome
        return welcome is not None and welcome.protocol > 1


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process that we started, and those that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await process.wait()
                return
