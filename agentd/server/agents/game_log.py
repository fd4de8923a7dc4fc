"""What the games of an agent say of themselves: numbers under names of their own (R16)."""

from collections.abc import Mapping
from typing import Any

from agentd.protocol.errors import Code
from agentd.protocol.facts import check_numbers
from agentd.server.batching.session import Session

MOST_A_SECOND = 100
"""Messages of one session; further ones are dropped."""

MOST_NAMES = 256
"""Names of one agent; a number under a further one is not kept."""


class GameLog:
    """The newest number under each name, and how many messages came and were dropped."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.messages = self.dropped = 0

    def take(self, session: Session, values: Mapping[str, float], now: float) -> None:
        """Keep what a session logs at ``now``, seconds. Raises ProtocolError BAD_LOG."""
        if now - session.log_since >= 1.0:
            session.log_since, session.logged = now, 0
        session.logged += 1
        if session.logged > MOST_A_SECOND:
            self.dropped += 1
            return
        check_numbers(values, Code.BAD_LOG)
        self.messages += 1
        for name, value in values.items():
            if name in self.values or len(self.values) < MOST_NAMES:
                self.values[name] = value

    def stats(self) -> dict[str, Any]:
        """The log by the names that `stats` has for it."""
        return {
            "log": dict(self.values),
            "log_messages": self.messages,
            "log_dropped": self.dropped,
        }
