"""Calls over a Unix socket: several daemons and their learner on one machine, without a cluster.

A message is its length, u32 little-endian, and msgpack; a connection has one call at a time.
"""

import asyncio
import contextlib
import logging
import os
import socket
import struct
from pathlib import Path
from typing import Any

import msgpack

from agentd.errors import StorageError
from agentd.replicas.calls import Call, LearnerAway, Values, result_of
from agentd.replicas.shared_agents import SharedAgents

log = logging.getLogger("agentd.replicas")

_LENGTH = struct.Struct("<I")
_MOST = 1 << 30


class UnixCall(Call):
    """A way to the learner that listens at ``path``; connects when it is first used."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket.socket | None = None

    def __call__(
        self, method: str, agent: str, arguments: Values, within_s: float = 30.0
    ) -> Values:
        """See `calls.Call`."""
        try:
            connected = self._connected(within_s)
            connected.settimeout(within_s)
            data = msgpack.packb([method, agent, arguments])
            connected.sendall(_LENGTH.pack(len(data)) + data)
            (size,) = _LENGTH.unpack(self._read(connected, _LENGTH.size))
            answer = msgpack.unpackb(self._read(connected, size))
        except (OSError, ValueError) as fault:
            self.close()
            raise LearnerAway(f"the shared learner at {self._path}: {fault}") from None
        return result_of(answer)

    def close(self) -> None:
        """Let go of the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self, within_s: float) -> socket.socket:
        if self._socket is None:
            opened = socket.socket(socket.AF_UNIX)
            opened.settimeout(within_s)
            self._socket = opened
            opened.connect(self._path)
        return self._socket

    def _read(self, connected: socket.socket, size: int) -> bytes:
        if size > _MOST:
            raise ValueError(f"an answer of {size:,} bytes")
        data = bytearray(size)
        view = memoryview(data)
        while view:
            got = connected.recv_into(view)
            if not got:
                raise ConnectionResetError("it closed the connection")
            view = view[got:]
        return bytes(data)


async def serve(agents: SharedAgents, path: Path, stop: asyncio.Event) -> None:
    """Answer calls at ``path``, for this user alone, until ``stop``. Raises StorageError."""
    tasks: set[asyncio.Task[Any]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
                while True:
                    await _answer_one(agents, reader, writer)
        finally:
            tasks.discard(task)
            writer.close()

    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # what a killed learner has left; the data directory's lock is held
    before = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(talk, path, limit=1 << 20)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from error
    finally:
        os.umask(before)
    async with server:
        await stop.wait()
        server.close()
        for task in list(tasks):
            task.cancel()


async def _answer_one(
    agents: SharedAgents, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    (size,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if size > _MOST:
        raise ConnectionAbortedError(f"a call of {size:,} bytes")
    try:
        method, agent, arguments = msgpack.unpackb(await reader.readexactly(size))
    except (ValueError, TypeError) as fault:
        raise ConnectionAbortedError(f"no call: {fault}") from None
    data = msgpack.packb(await agents.call(str(method), str(agent), arguments))
    writer.write(_LENGTH.pack(len(data)) + data)
    await writer.drain()
