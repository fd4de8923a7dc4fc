"""Games of Godot RL Agents: a listener, and each game's policies as sessions like any other.

A policy is carried by a `Connection` as every game's session is; only its bytes come from here and
not from a socket. So limits, deadlines, counters and the end of a session are the same code.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from typing import Any, cast

from agentd.config.records import GodotConfig
from agentd.dialects.godot.conversation import Conversation, GameMoment, Phase
from agentd.dialects.godot.episodes import Episodes, Row, step_fields
from agentd.dialects.godot.spaces import GamePolicy, GameSpaces
from agentd.protocol.address import address_of
from agentd.protocol.connection import ClientConnection
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.messages import (
    ActReply,
    Error,
    Goodbye,
    Hello,
    ServerMessage,
    Welcome,
)
from agentd.server.peers.connection import Connection
from agentd.server.peers.connections import Connections
from agentd.server.peers.pipe import Pipe

log = logging.getLogger("agentd.godot")

LEAVE_S = 1.0
"""How long a game may take to hang up after `close`."""
SAY_S = 1.0
"""How often at most a game's refused rows are logged."""
KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""A game may be silent for hours (a debugger, a menu); a machine that has gone is noticed."""


class GodotDoor:
    """Takes games in, and knows those that are here."""

    def __init__(self, config: GodotConfig, connections: Connections) -> None:
        self.config, self.connections = config, connections
        self.games: set[GodotGame] = set()

    def new(self) -> GodotGame:
        """A game whose socket is being accepted."""
        return GodotGame(self)

    def say_goodbye(self) -> None:
        """Send every game away that has no session yet; sessions say it by themselves."""
        for game in list(self.games):
            game.leave("the daemon shuts down")

    def abort(self) -> None:
        """Hang up at once."""
        for game in list(self.games):
            game.abort()


class GodotGame(asyncio.Protocol):
    """One game: its conversation, and a seat for each of its policies."""

    def __init__(self, door: GodotDoor) -> None:
        self._door = door
        self.limits = door.connections.limits
        self._talk = Conversation(self.limits.max_frame, door.config.prefix)
        self._transport: asyncio.Transport | None = None
        self._seats: list[PolicySeat] = []
        self._players = self._unanswered = 0
        self._due: asyncio.TimerHandle | None = None
        self.peername: Any = None
        self.peer = "?"
        self.gone = False
        self._logged, self._unlogged = float("-inf"), 0

    # -- asyncio's callbacks -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, or hang up when the house is full."""
        self._transport = cast(asyncio.Transport, transport)
        self.peername = transport.get_extra_info("peername")
        self.peer = address_of(self.peername) or "?"
        _keep_alive(transport.get_extra_info("socket"))
        games = self._door.games
        games.add(self)
        if self._door.connections.draining:
            self.leave("the daemon shuts down")
        elif len(games) > self.limits.max_connections:
            self.leave(f"there are {self.limits.max_connections} games (limits.max_connections)")
        else:
            self._transport.write(self._talk.begin())
            self._expect()

    def data_received(self, data: bytes) -> None:
        """Take bytes and act on every message that is complete."""
        if self.gone:
            return
        self._talk.receive(data)
        try:
            while (event := self._talk.next_event()) is not None:
                self._expect_nothing()
                self._dispatch(event)
        except ProtocolError as fault:
            self._refuse(str(fault))
        if self._talk.has_partial and not self.gone:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """The game has gone: its open episodes end as truncated."""
        self._door.games.discard(self)
        if not self.gone:
            log.info("game gone peer=%s", self.peer)
        self._end()

    # -- events --------------------------------------------------------------------------------

    def _dispatch(self, event: Any) -> None:
        match event:
            case GameSpaces():
                self._take_seats(event)
            case GameMoment():
                self._take(event)

    def _take_seats(self, spaces: GameSpaces) -> None:
        client, run = f"godot-rl {spaces.version}", os.urandom(16)
        self._players = spaces.players
        names = ", ".join(f"{each.agent} x{len(each.players)}" for each in spaces.policies)
        log.info("game joined peer=%s client=%r agents=%s", self.peer, client, names)
        for policy in spaces.policies:
            hello = Hello(
                protocol=(2, 2),
                client=client,
                role=self._door.config.role,
                run=run,
                agent=policy.agent,
                observation=policy.observation,
                action=policy.action,
                streams=len(policy.players),
            )
            self._seats.append(
                PolicySeat(self, policy, self._door.connections.new(inside=True), hello)
            )
        for seat in self._seats:
            if not self.gone:
                seat.greet()

    def seated(self) -> None:
        """A seat was welcomed; once all are, the episodes begin."""
        if not self.gone and all(seat.welcome is not None for seat in self._seats):
            self._write(self._talk.reset())

    def _take(self, moment: GameMoment) -> None:
        steps = [(seat, frame) for seat in self._seats for frame in seat.frames(moment)]
        self._unanswered = len(steps)
        for seat, rows in steps:
            seat.step(rows)

    def answered(self) -> None:
        """A frame was answered; once all of a moment are, the players act."""
        self._unanswered -= 1
        if self._unanswered == 0 and not self.gone:
            actions: list[dict[str, Any]] = [{}] * self._players
            for seat in self._seats:
                for number, action in seat.episodes.actions():
                    actions[number] = action
            self._write(self._talk.act(actions))

    def note_faults(self, faults: list[str]) -> None:
        """Log refused rows, not more often than one can read."""
        now = time.monotonic()
        if now - self._logged < SAY_S:
            self._unlogged += len(faults)
            return
        more = self._unlogged + len(faults) - 1
        also = f" (and {more} more)" if more else ""
        log.warning("row refused peer=%s %s%s", self.peer, faults[0], also)
        self._logged, self._unlogged = now, 0

    # -- the end -------------------------------------------------------------------------------

    def refuse_seat(self, policy: GamePolicy, error: Error) -> None:
        """A session was refused or failed: the whole game ends, and the log says why."""
        parts = [f"agent {policy.agent}: {error.code}: {error.message}"]
        if error.expected is not None:
            parts.append(f"expected {error.expected}, got {error.got}")
        self._refuse("; ".join(parts))

    def _refuse(self, why: str) -> None:
        if not self.gone:
            self._door.connections.refused["GODOT"] += 1
            log.warning("game refused peer=%s %s", self.peer, why)
            self.leave("")

    def leave(self, why: str) -> None:
        """Say `close`, so that the game ends, and hang up."""
        if self.gone:
            return
        if why:
            log.info("game sent away peer=%s: %s", self.peer, why)
        self._write(self._talk.close())
        self._end()
        if self._transport is not None:
            asyncio.get_running_loop().call_later(LEAVE_S, self._transport.close)

    def abort(self) -> None:
        """Hang up at once."""
        self._end()
        if self._transport is not None:
            self._transport.abort()

    def _end(self) -> None:
        self.gone = True
        self._expect_nothing()
        seats, self._seats = self._seats, []
        for seat in seats:  # later: an answer may be under way through what is let go of here
            asyncio.get_running_loop().call_soon(seat.leave)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _expect(self) -> None:
        """Give the game ``frame_s`` for what it has begun to say."""
        if self._due is None:
            begun = self._talk.phase is not Phase.AWAIT_INFO
            what = "a message was begun and not finished" if begun else "no env_info"
            late = f"{Code.IDLE_TIMEOUT}: {what} in {self.limits.frame_s:g} s"
            loop = asyncio.get_running_loop()
            self._due = loop.call_later(self.limits.frame_s, self._refuse, late)

    def _expect_nothing(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None


def _keep_alive(sock: socket.socket | None) -> None:
    with contextlib.suppress(OSError, AttributeError):  # what a system does not have
        assert sock is not None
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class PolicySeat:
    """One policy of a game: the client's side of a session whose server's side is here as well."""

    def __init__(
        self, game: GodotGame, policy: GamePolicy, connection: Connection, hello: Hello
    ) -> None:
        self.policy, self.episodes = policy, Episodes(policy)
        self.welcome: Welcome | None = None
        self._game, self._connection = game, connection
        self._wire = ClientConnection(hello)
        self._sent: dict[int, list[Row]] = {}
        self._refusals: set[int] = set()
        self._pipe: Pipe | None = None

    def greet(self) -> None:
        """Ask for the session."""
        self._pipe = Pipe(self._connection, self._heard, self._game.peername)
        self._connection.connection_made(self._pipe)
        self._connection.data_received(self._wire.reconnect())

    def frames(self, moment: GameMoment) -> list[tuple[list[Row], bool]]:
        """A moment as the rows of one frame or more; True with those that must be refused."""
        assert self.welcome is not None
        rows = self.episodes.rows(moment)
        if rows.faults:
            self._game.note_faults(rows.faults)
        room = (self.welcome.max_frame - 1024) // self.policy.row_bytes
        most = max(1, min(self.welcome.max_rows, room))
        kinds = ((rows.good, False), (rows.refused, True))
        return [
            (each[at : at + most], bad) for each, bad in kinds for at in range(0, len(each), most)
        ]

    def step(self, frame: tuple[list[Row], bool]) -> None:
        """Send one frame."""
        rows, bad = frame
        data = self._wire.step(**step_fields(self.policy, rows))
        self._sent[self._wire.last_seq] = rows
        if bad:
            self._refusals.add(self._wire.last_seq)
        self._connection.data_received(data)

    def leave(self) -> None:
        """End the session; its open episodes are cut."""
        if self._pipe is not None:
            self._connection.data_received(self._wire.send(Goodbye(reason="client_done")))

    def _heard(self, data: bytes) -> None:
        """Take what the server's side writes; a fault of ours ends this game and no other."""
        try:
            self._wire.receive(data)
            while (message := self._wire.next_event()) is not None:
                self._dispatch(message)
        except Exception:
            log.exception("game failed peer=%s", self._game.peer)
            self._game.leave("a fault of the daemon, see above")

    def _dispatch(self, message: ServerMessage) -> None:
        match message:
            case ActReply():
                self._act(message)
            case Error():
                self._fail(message)
            case Welcome():
                self.welcome = message
                self._game.seated()
            case Goodbye():
                self._game.leave(f"agent {self.policy.agent}: {message.reason}")

    def _act(self, act: ActReply) -> None:
        rows = self._sent.pop(act.seq)
        for row, numbers in zip(rows, self.policy.read_actions(act.action), strict=True):
            self.episodes.played(row, numbers.tolist())
        self._game.answered()

    def _fail(self, error: Error) -> None:
        if error.seq is not None and not error.fatal and error.seq in self._refusals:
            self._refusals.discard(error.seq)
            del self._sent[error.seq]
            self._game.answered()
        else:
            self._game.refuse_seat(self.policy, error)
