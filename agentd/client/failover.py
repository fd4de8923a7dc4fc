"""Several servers that may play the same agent: which one to try next."""

import random
from collections.abc import Callable, Sequence

from agentd.client.address import Address


class Failover:
    """The order of tries. A client begins at any of the servers, and stays where it was welcomed.

    After a loss the server that holds the session is tried for ``home_s`` seconds, as it may be
    starting again; then each of the others, where the session is not known and a new one begins.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        home_s: float,
        rng: random.Random,
        clock: Callable[[], float],
    ) -> None:
        """``addresses`` are shuffled by ``rng``, so that clients spread over the servers."""
        many = len(addresses) > 1
        self._addresses = rng.sample(addresses, len(addresses)) if many else list(addresses)
        self._home_s, self._clock = home_s, clock
        self._at = 0
        self._failed = 0  # tries in a row that went to different servers
        self._welcomed = False
        self._leave_home_at: float | None = None

    def __str__(self) -> str:
        """All addresses, as they can be typed again."""
        return ",".join(str(address) for address in self._addresses)

    @property
    def address(self) -> Address:
        """Where to connect now."""
        return self._addresses[self._at]

    def welcomed(self) -> None:
        """Take note that the server at ``address`` has welcomed the client."""
        self._welcomed, self._failed, self._leave_home_at = True, 0, None

    def broke(self) -> bool:
        """Take note of a lost connection or a failed try; return whether to wait before the next.

        There is no wait before a server that was not tried since all went well.
        """
        if len(self._addresses) == 1:
            return True
        if self._welcomed:
            self._welcomed = False
            self._leave_home_at = self._clock() + self._home_s
        if self._leave_home_at is not None:
            if self._clock() < self._leave_home_at:
                return True
            self._leave_home_at = None
        self._at = (self._at + 1) % len(self._addresses)
        self._failed = (self._failed + 1) % len(self._addresses)
        return self._failed == 0
