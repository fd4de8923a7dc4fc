"""The asyncio client: as ``Client``, with calls that are awaited and pings answered at all times.

    async with await AsyncClient.connect("127.0.0.1:7331", "pong", ("float32", (8,)), 3) as client:
        act = await client.step(state, reward=0.0, kind=FIRST)

One task owned by the client watches the connection, connects again when it broke and resumes the
session (R7). Several tasks may share a client, each with streams of its own.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Self, Unpack

from numpy.typing import ArrayLike

from agentd.client.address import Address
from agentd.client.choices import Actions
from agentd.client.errors import ClientClosed, ClientError, NotAgentd, SessionLost
from agentd.client.facts import SessionFacts
from agentd.client.frames import Act, Observations, Taught
from agentd.client.link import Link
from agentd.client.operations import AsyncOperations
from agentd.client.played import NOTHING, StepFacts
from agentd.client.session import Reply
from agentd.client.settings import (
    CONNECT_S,
    FAREWELL_S,
    ConnectOptions,
    ConnectSettings,
    Observation,
)
from agentd.protocol import messages as m
from agentd.protocol.errors import ProtocolError

log = logging.getLogger("agentd.client")


class AsyncClient(AsyncOperations, SessionFacts):
    """One game's connection to one agent, in one event loop."""

    def __init__(self, settings: ConnectSettings) -> None:
        """Use ``connect``."""
        super().__init__(settings)
        self._link: Link | None = None
        self._up = asyncio.Event()  # a link stands, or none ever will
        self._room = asyncio.Event()  # an answer came, or none ever will
        self._frames: deque[asyncio.Future[Act | Taught]] = deque()
        self._replies: dict[int, asyncio.Future[Reply]] = {}  # by the operation's identity
        self._pings: dict[int | float, asyncio.Future[bool]] = {}
        self._watcher: asyncio.Task[None] | None = None

    @classmethod
    async def connect(
        cls,
        address: str | tuple[str, int] | Address,
        agent: str = "",
        observation: Observation | None = None,
        actions: Actions | None = None,
        **options: Unpack[ConnectOptions],
    ) -> Self:
        """Connect to ``agent`` at ``address``; arguments and errors as ``Client.connect``."""
        client = cls(ConnectSettings.read(address, agent, observation, actions, options))
        await client._reach(None)
        client._be_patient(client._settings.retry_for)
        client._watcher = asyncio.create_task(client._watch())
        return client

    # -- playing -------------------------------------------------------------------------------

    async def step(
        self,
        obs: Observations,
        reward: ArrayLike,
        kind: ArrayLike,
        stream: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        **facts: Unpack[StepFacts],
    ) -> Act:
        """Send one frame and return its actions; arguments and errors as ``Client.step``."""
        return await (await self.send(obs, reward, kind, stream, mask, **facts))

    async def send(
        self,
        obs: Observations,
        reward: ArrayLike,
        kind: ArrayLike,
        stream: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        **facts: Unpack[StepFacts],
    ) -> asyncio.Future[Act]:
        """Send one frame; awaiting the returned future gives its answer.

        Waits while ``welcome.window`` frames are on their way and while there is no connection.
        SessionLost is told to every frame that was on its way, or, when there was none, to the
        next one.
        """
        await self._ready()
        return await self._transmit(self._session.step(obs, reward, kind, stream, mask, facts))

    async def teach(
        self, obs: Observations, target: ArrayLike, weight: ArrayLike | None = None
    ) -> Taught:
        """Send rows with their right answers; arguments and errors as ``Client.teach``."""
        return await (await self.send_teach(obs, target, weight))

    async def send_teach(
        self, obs: Observations, target: ArrayLike, weight: ArrayLike | None = None
    ) -> asyncio.Future[Taught]:
        """Send rows as ``teach`` does; awaiting the returned future gives the answer."""
        await self._ready()
        return await self._transmit(self._session.teach(obs, target, weight))

    async def cut(self, stream: ArrayLike | None = None, reward: float = 0.0) -> None:
        """End episodes where they stand because the game jumps; as ``Client.cut``.

        Where tasks share the client each names its streams, and the last step must have been its
        own: else it sends its last state with kind truncated.
        """
        await self._ready()
        if data := self._session.cut(stream, reward):
            await (await self._transmit(data))

    async def abandon(self) -> None:
        """End every open episode and begin a new session; as ``Client.abandon``.

        Frames of other tasks that are on their way end as SessionLost.
        """
        link = await self._connected()
        self._link = None
        self._up.clear()
        goodbye = self._session.abandon()
        self._fail_frames(SessionLost("the session was abandoned: open episodes are gone"))
        self._room.set()
        link.write(goodbye)
        await asyncio.wait([link.lost], timeout=FAREWELL_S)
        link.abort()
        await self._connected()

    # -- the rest ------------------------------------------------------------------------------

    async def log(self, values: Mapping[str, float] = NOTHING, /, **named: float) -> None:
        """Show numbers of the game beside the agent's; arguments and errors as ``Client.log``."""
        link = await self._connected()
        link.write(self._session.log({**values, **named}))

    async def operate(self, operation: m.Operation) -> Reply:
        """Send any operation of R11 and return its reply, a refusal included."""
        link = await self._connected()
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._replies[id(operation)] = reply
        link.write(self._session.operate(operation))
        return await reply

    async def ping(self) -> float:
        """Return the seconds of one round trip."""
        while True:
            link = await self._connected()
            sent = time.perf_counter()
            pong = self._pings[sent] = asyncio.get_running_loop().create_future()
            link.write(self._session.ping(sent))
            if await pong:
                return time.perf_counter() - sent

    async def close(self) -> None:
        """Say goodbye and close; pending answers are lost. Open episodes end as truncated."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        link, self._link = self._link, None
        self._end(ClientClosed("the client is closed"))
        if link is not None:
            link.write(self._session.leave())
            await asyncio.wait([link.lost], timeout=FAREWELL_S)
            link.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    # -- the connection ------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Keep a connection for as long as that can be done."""
        try:
            while (link := self._link) is not None:
                await self._guard(link)
                cause = link.cause or ConnectionResetError("the server closed the connection")
                log.info("connection to %s lost: %s", self._session.address, cause)
                self._link = None
                self._up.clear()
                for pong in self._pings.values():
                    _settle(pong, False)
                self._pings.clear()
                await self._reach(cause)
                self.reconnects += 1
        except (ClientError, ProtocolError) as end:
            self._end(end)
        finally:
            self._end(ClientClosed("the client is closed"))

    async def _guard(self, link: Link) -> None:
        """Return when ``link`` is over; a server that is silent for two heartbeats is gone (R9)."""
        heartbeat = self._session.welcome.heartbeat_s
        pinged = False
        while not link.lost.done():
            link.heard = False
            await asyncio.wait([link.lost], timeout=heartbeat)
            if link.heard:
                pinged = False
            elif pinged:
                link.abort()
            else:
                link.write(self._session.ping(time.monotonic()))
                pinged = True

    async def _reach(self, cause: Exception | None) -> None:
        """Connect, again after ``cause``. Raises Unreachable, Refused, ProtocolError."""
        while self._link is None:
            if self._ended is not None:
                raise self._ended
            if cause is not None:
                delay = self._next_delay()
                if delay is None:
                    raise self._unreachable(cause)
                await asyncio.sleep(delay)
            try:
                self._link = await self._shake_hands()
            except OSError as fault:
                cause = fault
        self._up.set()

    async def _shake_hands(self) -> Link:
        """Open a connection, say hello and wait for welcome, once. Raises OSError."""
        self._session.fault = None
        self._session.address = place = self._failover.address
        async with asyncio.timeout(CONNECT_S):
            link = await Link.open(place, self._settings.tls, self._arrived)
            try:
                link.write(self._session.open())
                self._deliver()  # operations whose outcome is unknown
                await asyncio.wait([link.welcomed, link.lost], return_when=asyncio.FIRST_COMPLETED)
                if not link.welcomed.done():
                    fault = self._session.fault
                    raise ConnectionResetError(str(fault or link.cause or "no welcome"))
            except BaseException:
                link.abort()
                raise
        self._failover.welcomed()
        return link

    def _end(self, error: ClientError | ProtocolError) -> None:
        """Nothing more will come: tell everyone who waits."""
        self._ended = self._ended or error
        self._fail_frames(self._ended)
        for reply in self._replies.values():
            _settle(reply, self._ended)
        for pong in self._pings.values():
            _settle(pong, self._ended)
        self._replies.clear()
        self._pings.clear()
        self._up.set()
        self._room.set()

    # -- sending -------------------------------------------------------------------------------

    async def _connected(self) -> Link:
        """Wait for a connection. Raises what ended the client."""
        while self._link is None or self._ended is not None:
            if self._ended is not None:
                raise self._ended
            await self._up.wait()
        return self._link

    async def _ready(self) -> None:
        """Wait until a frame can be sent at once. Raises SessionLost when it must not be."""
        await self._connected()
        while self._session.pending >= self._session.welcome.window:
            self._room.clear()
            await self._room.wait()
            await self._connected()
        lost, self._session.lost = self._session.lost, None
        if lost is not None:
            raise lost

    async def _transmit(self, data: bytes) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._frames.append(answer)
        if self._link is not None:
            self._link.write(data)
            await self._link.drained.wait()
        return answer

    # -- receiving -----------------------------------------------------------------------------

    def _arrived(self, link: Link, data: bytes) -> None:
        """Act on received bytes."""
        session = self._session
        try:
            session.receive(data)
        except (ProtocolError, NotAgentd) as fault:
            self._ended = self._ended or fault
            link.abort()
            return
        except ConnectionResetError as fault:
            link.cause = fault
            link.abort()
            return
        if out := session.outgoing():
            link.write(out)
        if session.welcomed and not link.welcomed.done():
            link.welcomed.set_result(None)
        self._deliver()
        if session.fault is not None or session.goodbye is not None:
            self._ended = self._ended or session.verdict
            link.close()

    def _deliver(self) -> None:
        """Hand every answer to whoever waits for it."""
        session = self._session
        if session.inbox or session.replies:
            self._patience.restore()
        while session.inbox:
            _settle(self._frames.popleft(), session.inbox.popleft())
        while session.replies:
            operation, reply = session.replies.popleft()
            waiting = self._replies.pop(id(operation))
            if not waiting.done():
                waiting.set_result(reply)
        if session.ponged in self._pings:
            _settle(self._pings.pop(session.ponged), True)
        if session.lost is not None and self._frames:
            self._fail_frames(session.lost)
            session.lost = None
        self._room.set()

    def _fail_frames(self, error: Exception) -> None:
        while self._frames:
            _settle(self._frames.popleft(), error)


def _settle(waiting: asyncio.Future[Any], outcome: object) -> None:
    """Give ``waiting`` its outcome; nobody may be waiting any more."""
    if waiting.done():
        return
    if isinstance(outcome, Exception):
        waiting.set_exception(outcome)
        waiting.exception()  # whoever dropped the future does not want to hear of it in a log
    else:
        waiting.set_result(outcome)
