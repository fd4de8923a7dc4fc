"""The blocking client: one thread, one connection, no callbacks.

    with Client.connect("127.0.0.1:7331", "snake", ("uint8", (4, 8, 8)), 4) as client:
        act = client.step(planes, reward=0.0, kind=FIRST, mask=mask)

It heals a broken connection inside whatever call notices it (R7), so a game sees a longer wait and
nothing else, or SessionLost when the server no longer knows the session.
"""

import logging
import time
from collections.abc import Mapping
from typing import Self, Unpack

from numpy.typing import ArrayLike

from agentd.client.address import Address
from agentd.client.choices import Actions
from agentd.client.errors import ClientClosed, DataRefused, NotAgentd
from agentd.client.facts import SessionFacts
from agentd.client.frames import Act, Observations, Taught
from agentd.client.operations import Operations
from agentd.client.played import NOTHING, StepFacts
from agentd.client.session import Reply
from agentd.client.settings import (
    CONNECT_S,
    FAREWELL_S,
    ConnectOptions,
    ConnectSettings,
    Observation,
)
from agentd.client.wire import Wire
from agentd.protocol import messages as m
from agentd.protocol.errors import ProtocolError

log = logging.getLogger("agentd.client")


class Client(Operations, SessionFacts):
    """One game's connection to one agent. Not for use by several threads at once.

    While no call is under way nobody answers the server's pings: a game that thinks for longer
    than ``2 * welcome.heartbeat_s`` between two calls may call ``poll`` now and then. If it does
    not, the next call resumes the session.
    """

    def __init__(self, settings: ConnectSettings) -> None:
        """Use ``connect``."""
        super().__init__(settings)
        self._wire: Wire | None = None
        self._broken: OSError | None = None  # why there is no wire
        self._was_connected = False

    @classmethod
    def connect(
        cls,
        address: str | tuple[str, int] | Address,
        agent: str = "",
        observation: Observation | None = None,
        actions: Actions | None = None,
        **options: Unpack[ConnectOptions],
    ) -> Self:
        """Connect to ``agent`` at ``address`` and say what the game looks like.

        Several servers that play the same agent stand with commas between, ``"a:7331,b:7331"``: the
        client begins at any of them and goes to the next when one is lost (``resume_for``).

        Raises ValueError for arguments that break the rules of R4, Unreachable when nobody
        answers, Refused when the server does not want us.
        """
        client = cls(ConnectSettings.read(address, agent, observation, actions, options))
        client._connected()
        client._be_patient(client._settings.retry_for)
        return client

    # -- playing -------------------------------------------------------------------------------

    def step(
        self,
        obs: Observations,
        reward: ArrayLike,
        kind: ArrayLike,
        stream: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        **facts: Unpack[StepFacts],
    ) -> Act:
        """Send one frame of N rows (R5) and return its actions.

        obs     (N, *shape) of the schema's only tensor, or a mapping with every tensor; one row
                may leave N out
        reward  (N,) float, or one number for all rows; for the action that led here
        kind    (N,), or one number for all rows: 0 first, 1 mid, 2 terminated, 3 truncated
        stream  (N,) ids below ``streams``; 0..N-1 when left out
        mask    (N, A) of 0 and 1, 1 = legal; everything is legal when left out
        facts   ``taken``, ``by``, ``elapsed``, ``success``: see ``StepFacts``

        Raises DataRefused (nothing of the frame was learned; go on), SessionLost (reset the game),
        Refused, Unreachable; ValueError or TypeError for arrays that do not fit the schema;
        RuntimeError when earlier answers wait to be received; ServerTooOld for ``facts`` that a
        server of protocol 1 does not know.
        """
        self._ready(alone=True)
        self._transmit(self._session.step(obs, reward, kind, stream, mask, facts))
        answer = self.receive()
        assert isinstance(answer, Act)
        return answer

    def teach(
        self, obs: Observations, target: ArrayLike, weight: ArrayLike | None = None
    ) -> Taught:
        """Send N rows with their right answers (R8); return once they wait to be learned.

        target  (N,) integers: classes; or (N, K) floats: values
        weight  (N,) float, 1 when left out

        Raises as ``step`` does; NOT_SUPERVISED is a DataRefused.
        """
        self._ready(alone=True)
        self._transmit(self._session.teach(obs, target, weight))
        answer = self.receive()
        assert isinstance(answer, Taught)
        return answer

    def send(
        self,
        obs: Observations,
        reward: ArrayLike,
        kind: ArrayLike,
        stream: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        **facts: Unpack[StepFacts],
    ) -> None:
        """Send one frame as ``step`` does, without waiting; ``receive`` returns its answer.

        Up to ``welcome.window`` frames may be pending. Raises WindowFull beyond that.
        """
        self._ready(alone=False)
        self._transmit(self._session.step(obs, reward, kind, stream, mask, facts))

    def send_teach(
        self, obs: Observations, target: ArrayLike, weight: ArrayLike | None = None
    ) -> None:
        """Send rows as ``teach`` does, without waiting; ``receive`` returns the answer."""
        self._ready(alone=False)
        self._transmit(self._session.teach(obs, target, weight))

    def receive(self) -> Act | Taught:
        """Return the answer to the oldest pending frame.

        Raises that frame's DataRefused, SessionLost, Refused, Unreachable; RuntimeError when no
        frame is pending.
        """
        inbox = self._session.inbox
        while not inbox:
            self._tell_loss()
            if not self._session.pending:
                raise RuntimeError("no frame is pending")
            self._pump(None)
        answer = inbox.popleft()
        if isinstance(answer, DataRefused):
            raise answer
        return answer

    def cut(self, stream: ArrayLike | None = None, reward: float = 0.0) -> None:
        """End episodes where they stand because the game jumps, as when a save is loaded.

        They end as truncated, with the last state that was sent as their final one and ``reward``
        for the action since; the next row of each stream must be ``first``. Without ``stream`` all
        that are open in the last step end, and none is fine. Raises as ``step`` does.
        """
        self._ready(alone=True)
        if data := self._session.cut(stream, reward):
            self._transmit(data)
            self.receive()

    def abandon(self) -> None:
        """End every open episode as truncated, without a final row, and begin a new session.

        For when a frame was refused and the game has no right one to send in its place: the next
        frame must open a new episode (kind ``first``) in every stream. Raises RuntimeError when
        answers wait to be received, Unreachable, Refused.
        """
        self._connected()
        if self._session.lost is not None:  # it is a new one already
            self._session.lost = None
            return
        self._ready(alone=True)
        self._leave(self._session.abandon())
        self._broken = None
        self._connected()

    # -- the rest ------------------------------------------------------------------------------

    def log(self, values: Mapping[str, float] = NOTHING, /, **named: float) -> None:
        """Show numbers of the game beside the agent's: ``log(level=3)``, ``log({"team/gold": 9})``.

        At most 32 finite numbers under names of a-z 0-9 _ . / -, and 100 calls a second: the server
        drops more. Nothing is answered, and what a broken connection swallows is gone. Raises
        ValueError for values that do not fit, ServerTooOld, Unreachable, Refused.
        """
        self._connected()
        if data := self._session.log({**values, **named}):
            self._transmit(data)

    def operate(self, operation: m.Operation) -> Reply:
        """Send any operation of R11 and return its reply, a refusal included."""
        self._connected()
        self._transmit(self._session.operate(operation))
        while not self._session.replies:
            self._pump(None)
        return self._session.replies.popleft()[1]

    def ping(self) -> float:
        """Return the seconds of one round trip."""
        sent = 0.0
        wire = None
        while wire is None or self._session.ponged != sent:
            if self._wire is not wire or wire is None:  # a ping is lost with its connection
                wire, sent = self._connected(), time.perf_counter()
                self._transmit(self._session.ping(sent))
            self._pump(None)
        return time.perf_counter() - sent

    def poll(self) -> None:
        """Take what has arrived, without waiting, and answer the server's pings."""
        self._pump(0.0)

    def close(self) -> None:
        """Say goodbye and close; pending answers are lost. Open episodes end as truncated."""
        self._ended = self._ended or ClientClosed("the client is closed")
        self._leave(self._session.leave())

    def _leave(self, goodbye: bytes) -> None:
        """Say goodbye on this connection and let go of it."""
        wire, self._wire = self._wire, None
        if wire is not None:
            try:
                wire.send(goodbye, FAREWELL_S)
                wire.drain(FAREWELL_S)
            except OSError as fault:
                log.debug("goodbye not sent: %s", fault)
            finally:
                wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # -- inside --------------------------------------------------------------------------------

    def _ready(self, alone: bool) -> None:
        """Make sure that a frame can be sent now."""
        self._connected()
        self._tell_loss()
        if alone and self._session.pending:
            raise RuntimeError(f"{self._session.pending} frames are pending: receive them first")

    def _tell_loss(self) -> None:
        lost = self._session.lost
        if lost is not None:
            self._session.lost = None
            raise lost

    def _transmit(self, data: bytes) -> None:
        """Send ``data``; what a broken connection swallows is sent again after the next welcome."""
        assert self._wire is not None
        try:
            self._wire.send(data, 2.0 * self._session.welcome.heartbeat_s)
        except OSError as fault:
            self._break(fault)
        except BaseException:
            self._break(OSError("interrupted"))  # half a frame may be out: nothing can follow it
            raise

    def _pump(self, timeout: float | None) -> None:
        """Take the next bytes; waits for them up to ``timeout``, or until the server is gone.

        Returns without a wait when the connection had to be made anew.
        """
        if self._wire is None:
            self._connected()
            return
        heartbeat = self._session.welcome.heartbeat_s
        try:
            data = self._wire.receive(heartbeat if timeout is None else timeout)
            if data is None and timeout is None:
                self._wire.send(self._session.ping(time.monotonic()), heartbeat)
                data = self._wire.receive(heartbeat)
                if data is None:
                    raise TimeoutError(f"the server was silent for {2 * heartbeat:g} s")
            if data is not None:
                self._take(self._wire, data)
        except OSError as fault:
            self._break(fault)
        except BaseException:
            self._break(OSError("interrupted"))
            raise

    def _take(self, wire: Wire, data: bytes) -> None:
        """Act on received bytes. Raises OSError when the connection is over."""
        if not data:
            raise ConnectionResetError("the server closed the connection")
        session = self._session
        try:
            session.receive(data)
        except (ProtocolError, NotAgentd) as fault:
            self._ended = fault
            raise ConnectionAbortedError(str(fault)) from None
        if out := session.outgoing():
            wire.send(out, CONNECT_S)
        if session.inbox or session.replies:
            self._patience.restore()
        if session.fault is not None or session.goodbye is not None:
            self._ended = session.verdict
            raise ConnectionResetError(str(session.fault or f"goodbye: {session.goodbye}"))

    def _connected(self) -> Wire:
        """Return the wire, made anew when it broke. Raises Unreachable, Refused, ClientClosed."""
        while self._wire is None:
            if self._ended is not None:
                raise self._ended
            if self._broken is not None:
                delay = self._next_delay()
                if delay is None:
                    self._ended = self._unreachable(self._broken)
                    continue
                time.sleep(delay)
            try:
                self._shake_hands()
            except OSError as fault:
                self._break(fault)
        return self._wire

    def _shake_hands(self) -> None:
        """Open a socket, say hello and wait for welcome, once. Raises OSError."""
        self._session.fault = None
        self._session.address = place = self._failover.address
        self._wire = wire = Wire.connect(place, self._settings.tls, CONNECT_S)
        wire.send(self._session.open(), CONNECT_S)
        until = time.monotonic() + CONNECT_S
        while not self._session.welcomed:
            data = wire.receive(max(0.0, until - time.monotonic()))
            if data is None:
                raise TimeoutError(f"no welcome within {CONNECT_S:g} s")
            self._take(wire, data)
        self._failover.welcomed()
        self.reconnects += self._was_connected
        self._was_connected = True

    def _break(self, fault: OSError) -> None:
        """Let go of the connection because of ``fault``."""
        log.info("connection to %s lost: %s", self._session.address, fault)
        self._broken = fault
        if self._wire is not None:
            self._wire.close()
            self._wire = None
