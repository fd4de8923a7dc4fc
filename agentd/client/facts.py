"""What a client knows of its session: the same for the blocking one and the awaited one."""

import random
import time
from collections.abc import Mapping

from agentd.client.backoff import Patience
from agentd.client.errors import ClientError, Unreachable
from agentd.client.failover import Failover
from agentd.client.session import ClientSession
from agentd.client.settings import ConnectSettings
from agentd.protocol import messages as m
from agentd.protocol.errors import ProtocolError


class SessionFacts:
    """The session of a client, and how long the client waits for its server."""

    def __init__(self, settings: ConnectSettings) -> None:
        self._settings = settings
        self._session = ClientSession(settings)
        self._ended: ClientError | ProtocolError | None = None  # why there will be no link any more
        self._random = random.Random(settings.hello.run)
        self._be_patient(settings.wait)
        self._failover = Failover(
            settings.addresses, settings.resume_for, self._random, time.monotonic
        )
        self.reconnects = 0

    def _be_patient(self, seconds: float) -> None:
        self._patience = Patience(seconds, self._random, time.monotonic)

    def _next_delay(self) -> float | None:
        """Return the seconds before the next try, None to give up; call once for each failure."""
        if not self._failover.broke():
            return 0.0
        return self._patience.next_delay(self._session.stay_away_s)

    def _unreachable(self, cause: object) -> ClientError:
        """What to raise when it is time to give up because of ``cause``."""
        return self._session.fault or Unreachable(f"{self._failover}: {cause}")

    @property
    def welcome(self) -> m.Welcome:
        """What the server said last: session, limits, heartbeat, version at that time."""
        return self._session.welcome

    @property
    def role(self) -> str:
        """The role that ``connect`` asked for."""
        return self._settings.hello.role

    @property
    def streams(self) -> int:
        """Episodes that may run side by side."""
        return self._settings.hello.streams

    @property
    def version(self) -> int:
        """The newest weights heard of."""
        return self._session.version

    @property
    def settings(self) -> Mapping[str, float]:
        """Numbers that the agent's operator gives to the game: its difficulty, say (R19).

        Those of the agent's configuration (``game``), as the server said them last; none from an
        older server. A new mapping stands here when they have changed.
        """
        return self._session.settings

    @property
    def pending(self) -> int:
        """Frames on their way: sent, and their answer not returned yet."""
        return self._session.pending
