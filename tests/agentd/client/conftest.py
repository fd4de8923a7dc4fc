"""A small server over real sockets, and a proxy that treats connections badly.

The server is the protocol's own ``ServerConnection`` with a session table; it acts by arithmetic,
so that every test can say which action belongs to which row. It keeps what it took, in order.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from agentd.client import Client
from agentd.protocol import messages as m
from agentd.protocol.connection import ServerConnection, State
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.schema import Schema


class Session:
    def __init__(self, hello):
        self.id = os.urandom(16)
        self.hello = hello
        self.answers = {}  # seq -> message, all of them
        self.taken = []  # the steps and teaches, each once

    @property
    def last_seq(self):
        return len(self.taken)


class Peer:
    """The server. ``sessions`` by id; attributes below steer what it does."""

    def __init__(self, address=("127.0.0.1", 0)):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.bind(address)
        self.listener.listen()
        self.address = self.listener.getsockname()
        self.sessions = {}
        self.hellos = []
        self.messages = []  # everything else that is no frame
        self.refuse_hello = []  # ProtocolErrors for the next hellos
        self.before_answer = None  # called with (peer, connection socket, step)
        self.resumes = True
        self.protocol = 1  # what every welcome says
        self.game = None
        self.window = 4
        self.heartbeat_s = 5.0
        self.max_frame = 1 << 20
        self.operations = {}  # message type -> reply or ProtocolError
        self.silent = False  # take everything, say nothing
        self.faults = []
        self.sockets = set()
        self.threads = []
        self._run(self._accept)

    def _run(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        thread.start()
        self.threads.append(thread)

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            if connection.family == socket.AF_INET:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sockets.add(connection)
            self._run(self._serve, connection)

    def _serve(self, connection):
        try:
            with connection:
                self._converse(connection, ServerConnection(self.max_frame))
        except OSError:
            pass
        except Exception as fault:
            self.faults.append(fault)
        finally:
            self.sockets.discard(connection)

    def _converse(self, connection, wire):
        session = None
        while data := connection.recv(65536):
            wire.receive(data)
            while True:
                try:
                    message = wire.next_event()
                    if message is None:
                        break
                    if isinstance(message, m.Hello):
                        session = self._shake(connection, wire, message)
                    else:
                        self._handle(connection, wire, session, message)
                except ProtocolError as fault:
                    connection.sendall(wire.send(fault.to_message()))
                    if fault.fatal:
                        connection.sendall(wire.send(m.Goodbye(reason=fault.code.goodbye)))
            if wire.state is State.CLOSED:
                return

    def _shake(self, connection, wire, hello):
        self.hellos.append(hello)
        if self.refuse_hello:
            raise self.refuse_hello.pop(0)
        known = self.sessions.get(hello.resume)
        resumed = known is not None and self.resumes
        session = known if resumed else Session(hello)
        self.sessions[session.id] = session
        welcome = m.Welcome(
            protocol=self.protocol,
            game=self.game,
            session=session.id,
            agent=hello.agent,
            version=3,
            max_frame=self.max_frame,
            max_rows=256,
            window=self.window,
            heartbeat_s=self.heartbeat_s,
            resumed=resumed,
            last_seq=session.last_seq if resumed else 0,
        )
        connection.sendall(wire.welcome(welcome))
        return session

    def _handle(self, connection, wire, session, message):
        if isinstance(message, m.Step | m.Teach):
            if self.before_answer is not None:
                self.before_answer(self, connection, message)
            if message.seq > session.last_seq:
                session.taken.append(message)
                session.answers[message.seq] = self._answer(session, message)
            if not self.silent:
                connection.sendall(wire.send(session.answers[message.seq]))
            return
        self.messages.append(message)
        if isinstance(message, m.Ping) and not self.silent:
            connection.sendall(wire.send(m.Pong(t=message.t)))
        elif isinstance(message, m.Goodbye):
            connection.sendall(wire.send(m.Goodbye(reason="client_done")))
        elif type(message) in self.operations:
            reply = self.operations[type(message)]
            if isinstance(reply, ProtocolError):
                raise reply
            connection.sendall(wire.send(reply))

    def _answer(self, session, message):
        if isinstance(message, m.Teach):
            return m.TaughtReply(seq=message.seq, queued=len(message.target) // 4, version=3)
        schema = Schema.from_wire(session.hello.observation, session.hello.action)
        first = schema.tensors[0]
        rows = np.frombuffer(message.obs[first.name], first.dtype).reshape(len(message.kind), -1)
        if not np.isfinite(rows.astype(np.float64)).all():
            fault = ProtocolError(
                Code.NOT_FINITE,
                "row 0: obs: want finite numbers",
                seq=message.seq,
                field=f"obs.{first.name}",
                expected="finite numbers",
                got="nan",
            )
            return fault.to_message()
        ended = np.frombuffer(message.kind, np.uint8) >= 2
        actions = np.stack([rows[:, 0].astype(np.int64) % n for n in schema.branches], axis=1)
        if message.mask is not None and len(schema.branches) == 1:
            actions = np.frombuffer(message.mask, np.uint8).reshape(len(ended), -1).argmax(1)
        chosen = np.where(ended[:, None], -1, actions.reshape(len(ended), -1)).astype(np.int32)
        extra = {}
        if session.hello.explain:
            q = np.arange(len(chosen) * schema.n_actions, dtype=np.float32)
            extra = {
                "q": q.tobytes(),
                "explored": (chosen[:, 0] % 2 == 1).astype(np.uint8).tobytes(),
            }
        return m.ActReply(
            seq=message.seq, action=chosen.tobytes(), version=3 + message.seq, **extra
        )

    def cut(self):
        """Break every connection at once."""
        for connection in list(self.sockets):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def stop(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()
        for thread in self.threads:
            thread.join(5)

    def say(self, *messages):
        """Send messages to every connected client, unasked."""
        data = b"".join(ServerConnection(1024).send(message) for message in messages)
        for connection in list(self.sockets):
            connection.sendall(data)

    @property
    def only(self):
        (session,) = self.sessions.values()
        return session


class Proxy:
    """Forwards TCP and, driven by ``rng``, splits, delays and cuts what it forwards.

    ``cut_after`` is the mean number of bytes (both ways together) after which a connection is cut
    in the middle of whatever it carries; 0 never cuts.
    """

    def __init__(self, target, seed, cut_after=0, split=False, delay_s=0.0):
        self.target = target
        self.rng = random.Random(seed)
        self.cut_after, self.split, self.delay_s = cut_after, split, delay_s
        self.cuts = 0
        self.stopped = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(0.05)
        self.address = self.listener.getsockname()
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self):
        while not self.stopped:
            try:
                near, _ = self.listener.accept()
            except TimeoutError:
                continue
            try:
                far = socket.create_connection(self.target, 1)
            except OSError:
                near.close()
                continue
            thread = threading.Thread(target=self._forward, args=(near, far), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _forward(self, near, far):
        budget = self.rng.expovariate(1 / self.cut_after) if self.cut_after else float("inf")
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with near, far, contextlib.suppress(OSError):
            while not self.stopped:
                ready, _, _ = select.select([near, far], [], [], 0.05)
                for source in ready:
                    data = source.recv(65536)
                    if not data:
                        return
                    kept = data[: int(min(budget, len(data)))]
                    budget -= len(data)
                    self._send(far if source is near else near, kept)
                    if budget <= 0:
                        self.cuts += 1
                        return

    def _send(self, sink, data):
        if self.delay_s:
            time.sleep(self.rng.uniform(0, self.delay_s))
        if not self.split:
            sink.sendall(data)
            return
        while data:
            n = self.rng.choice((1, 1, 1, 2, 3, 50))
            sink.sendall(data[:n])
            data = data[n:]

    def stop(self):
        self.stopped = True
        for thread in self.threads:
            thread.join(5)
        self.listener.close()


class Daemon:
    """``agentd serve`` in a process of its own; it ends with our end of its stdin."""

    def __init__(self, data_dir, *settings, port=0):
        self.data_dir, self.settings, self.port = data_dir, settings, port
        self.log = (data_dir.parent / "serve.log").open("ab")
        self.process = None
        self.start()

    def start(self):
        command = [sys.executable, "-m", "agentd", "serve", "--until-eof", "--no-http"]
        command += ["--port", str(self.port), "--data-dir", str(self.data_dir)]
        for setting in ("autocreate=true", *self.settings):
            command += ["--set", setting]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        line = self.process.stdout.readline()
        assert line.startswith("listening on"), line
        self.port = int(line.rsplit(":", 1)[1])
        self.address = ("127.0.0.1", self.port)

    def kill(self):
        self.process.kill()
        self._reap()

    def stop(self):
        self.process.terminate()
        self._reap()
        self.log.close()

    def _reap(self):
        self.process.wait(20)
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def serve():
    """Start daemons, each with a data directory and settings of its own."""
    made = []

    def start(data_dir, *settings):
        made.append(Daemon(data_dir, *settings))
        return made[-1]

    yield start
    for daemon in made:
        daemon.stop()


@pytest.fixture
def make_peer():
    made = []

    def make(*arguments):
        made.append(Peer(*arguments))
        return made[-1]

    yield make
    for peer in made:
        peer.stop()
        assert peer.faults == []


@pytest.fixture
def peer(make_peer):
    return make_peer()


@pytest.fixture
def make_proxy():
    made = []

    def make(target, seed, **options):
        made.append(Proxy(target, seed, **options))
        return made[-1]

    yield make
    for proxy in made:
        proxy.stop()


@pytest.fixture
def connect():
    """Connect to a peer with quick retries; every client is closed at the end."""
    made = []

    def make(peer, **options):
        address = options.pop("address", peer.address)
        options = {"streams": 8, "retry_for": 5.0} | options
        made.append(Client.connect(address, "pong", ("float32", (2,)), 7, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()
