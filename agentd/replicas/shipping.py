"""A relay's way out: the rows of its ring to the shared learner, small and often, each once."""

import logging

from agentd.replicas.calls import Call, Values, pack_run
from agentd.replicas.source import RowSource

log = logging.getLogger("agentd.replicas")

_MOST_BYTES = 4 << 20
"""Bytes of a run of rows."""
_TELL_EVERY = 100


class Shipper:
    """Sends what comes. The shared learner's word counts for how far it has come.

    lost  rows that were written over before they could be sent
    """

    def __init__(self, source: RowSource, most: int, row_bytes: int) -> None:
        """``most`` is how many rows fit into one run at the learner."""
        self.lost = 0
        self._source = source
        self._most = max(1, min(most, _MOST_BYTES // max(1, row_bytes)))
        self._logged = 0

    def begin(self, taken: int) -> None:
        """Go on behind the rows that the learner has."""
        self._source.seek(taken)

    @property
    def at(self) -> int:
        """Index of the next row to send."""
        return self._source.at

    def ship(self, call: Call, agent: str, whoami: Values) -> int:
        """Send all rows that are there; return how many.

        Raises LearnerAway, NotJoined, CallRefused: nothing is lost, begin again.
        """
        sent = 0
        while (run := self._source.next_run(self._most)) is not None:
            self._count_lost()
            taken = int(call("push", agent, whoami | pack_run(run))["taken"])
            sent += run.hi - run.lo
            if taken != run.hi:
                self._source.seek(taken)
        self._count_lost()
        return sent

    def _count_lost(self) -> None:
        if self._source.lost != self.lost:
            self.lost = self._source.lost
            if self.lost - self._logged >= _TELL_EVERY or not self._logged:
                self._logged = self.lost
                log.warning("rows were written over before the learner took them: %d", self.lost)
