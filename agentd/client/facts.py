"""What a client knows of its session: the same for the blocking one and the awaited one."""

from agentd.client.session import ClientSession
from agentd.client.settings import ConnectSettings
from agentd.protocol import messages as m


class SessionFacts:
    """Properties of a client that has ``_settings`` and a ``_session``."""

    _settings: ConnectSettings
    _session: ClientSession

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
    def pending(self) -> int:
        """Frames on their way: sent, and their answer not returned yet."""
        return self._session.pending
