"""The trainer's half of a conversation: which message may come when, and what to say.

    AWAIT_INFO ──env_info──► OURS ──reset──► AWAIT_RESET ──reset──► OURS
    OURS ──action──► AWAIT_STEP ──step──► OURS      OURS ──call──► AWAIT_CALL ──call──► OURS

The game stands still while the word is ours, so whatever comes then is a fault.
"""

from __future__ import annotations

from enum import Enum
from functools import partial
from typing import Any, NamedTuple

from agentd.dialects.godot.numbers import show
from agentd.dialects.godot.spaces import GameSpaces, read_spaces
from agentd.dialects.godot.text import decode_text, encode_text
from agentd.protocol.codec import FrameDecoder
from agentd.protocol.errors import Code, ProtocolError

VERSION = ("0", "7")
"""What the trainer says it speaks; games of 0.3 only warn of it."""

_bad = partial(ProtocolError.unfit, Code.BAD_MESSAGE)


class GameMoment(NamedTuple):
    """What the players saw after a reset or a step, by player.

    reward, done  None after a reset
    info          maps; empty where the game sends none (0.3)
    """

    obs: list[Any]
    reward: list[Any] | None
    done: list[bool] | None
    info: list[dict[str, Any]]


class Returned(NamedTuple):
    """What a called method returned, by player."""

    values: Any


class Phase(Enum):
    """Whose word it is, and which: ``value`` is the type of the message that must come next."""

    AWAIT_INFO = "env_info"
    AWAIT_RESET = "reset"
    AWAIT_STEP = "step"
    AWAIT_CALL = "call"
    OURS = ""
    CLOSED = "nothing"


class Conversation:
    """One game's conversation: bytes in, events out, bytes to send.

    ``begin`` gives the first bytes. ``receive`` takes bytes; ``next_event`` gives what they say,
    None when more are needed, or raises ProtocolError, after which the conversation is over.
    """

    def __init__(self, max_frame: int, prefix: str = "") -> None:
        self._decoder = FrameDecoder(max_frame)
        self._prefix = prefix
        self._players = 0
        self.phase = Phase.AWAIT_INFO

    def begin(self) -> bytes:
        """Greet, and ask who plays."""
        major, minor = VERSION
        greeting = {"type": "handshake", "major_version": major, "minor_version": minor}
        return encode_text(greeting) + encode_text({"type": "env_info"})

    def receive(self, data: bytes) -> None:
        """Take bytes from the game; they must not change afterwards."""
        self._decoder.feed(data)

    @property
    def has_partial(self) -> bool:
        """True while an unfinished message is held."""
        return self._decoder.has_partial

    def next_event(self) -> GameSpaces | GameMoment | Returned | None:
        """What the game said next."""
        if self.phase is Phase.CLOSED:
            return None
        try:
            body = self._decoder.next_frame()
            return None if body is None else self._read(decode_text(body))
        except ProtocolError:
            self.phase = Phase.CLOSED
            raise

    def reset(self) -> bytes:
        """Ask every player to begin an episode."""
        return self._say(Phase.AWAIT_RESET, {"type": "reset"})

    def act(self, actions: list[dict[str, Any]]) -> bytes:
        """Say what each player does."""
        assert len(actions) == self._players
        return self._say(Phase.AWAIT_STEP, {"type": "action", "action": actions})

    def call(self, method: str) -> bytes:
        """Have every player call a method of its own."""
        return self._say(Phase.AWAIT_CALL, {"type": "call", "method": method})

    def close(self) -> bytes:
        """Say that the trainer leaves; the game ends."""
        self.phase = Phase.CLOSED
        return encode_text({"type": "close"})

    def _say(self, after: Phase, message: dict[str, Any]) -> bytes:
        assert self.phase is Phase.OURS
        self.phase = after
        return encode_text(message)

    def _read(self, message: dict[str, Any]) -> GameSpaces | GameMoment | Returned:
        kind, phase = message.get("type"), self.phase
        if phase is Phase.OURS or kind != phase.value:
            expected = "nothing before an answer" if phase is Phase.OURS else phase.value
            got = kind if isinstance(kind, str) else show(kind)
            said = f"{got[:40]} where {expected} must come"
            code = Code.UNEXPECTED_MESSAGE
            raise ProtocolError.unfit(code, "type", expected, got[:40], said=said)
        self.phase = Phase.OURS
        if phase is Phase.AWAIT_INFO:
            spaces = read_spaces(message, self._prefix)
            self._players = spaces.players
            return spaces
        if phase is Phase.AWAIT_CALL:
            return Returned(message.get("returns"))
        return self._moment(message, phase.value)

    def _moment(self, message: dict[str, Any], kind: str) -> GameMoment:
        obs = self._list(message, kind, "obs")
        info: list[dict[str, Any]] = [{}] * self._players
        if message.get("info") is not None:
            given = self._list(message, kind, "info")
            info = [each if isinstance(each, dict) else {} for each in given]
        if kind == "reset":
            return GameMoment(obs, None, None, info)
        reward, done = (self._list(message, kind, key) for key in ("reward", "done"))
        for at, each in enumerate(done):
            if each not in (0, 1):
                raise _bad(f"step.done[{at}]", "true or false", show(each))
        return GameMoment(obs, reward, [bool(each) for each in done], info)

    def _list(self, message: dict[str, Any], kind: str, key: str) -> list[Any]:
        value, place = message.get(key), f"{kind}.{key}"
        if not isinstance(value, list) or len(value) != self._players:
            expected = f"a list of {self._players}, as many as env_info.n_agents"
            raise _bad(place, expected, "nothing" if value is None else show(value))
        return value
