"""A connection whose bytes a recorder takes as well."""

from agentd.recording.recorder import Tap
from agentd.server.peers.connection import Connection, Owner


class RecordedConnection(Connection):
    """As ``Connection``; ``tap`` hears all that is received and written, as frames of R2."""

    def __init__(self, owner: Owner, tap: Tap) -> None:
        super().__init__(owner)
        self._tap = tap

    def data_received(self, data: bytes) -> None:
        """See ``Connection``."""
        if not self.closing:
            self._tap.received(data)
        super().data_received(data)

    def deliver(self, data: bytes) -> None:
        """See ``Connection``."""
        if not self.closing:
            self._tap.sent(data)
        super().deliver(data)

    def write(self, data: bytes) -> None:
        """See ``Connection``."""
        if not self.closing:
            self._tap.sent(data)
        super().write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``Connection``."""
        self._tap.ended()
        super().connection_lost(exc)
