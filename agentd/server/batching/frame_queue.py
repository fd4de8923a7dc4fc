"""Frames that wait for their turn, session by session, and the groups that are answered together.

A turn of the loop answers a bounded number of rows, so that what one client sends delays no other
by more. Where more rows wait than fit, the smallest frames come first, and then the oldest one,
however large it is. ``realtime`` sessions come before ``bulk`` ones, which share a turn only as far
as ``BULK_ROWS`` go; what is left waits for the next turn.
"""

from agentd.server.batching.session import Frame, Session

BULK_ROWS = 1_024
"""Rows of bulk sessions in one turn, unless a single frame has more: about half a millisecond."""


class FrameQueue:
    """Taken and unanswered frames of one agent. Within a session the order is that of arrival."""

    def __init__(self) -> None:
        self.rows = 0
        self._lent: list[Frame] = []  # out of their sessions' queues, and not yet answered
        self._owed = False
        self._bulk_served = False
        self._realtime: list[Session] = []  # those with frames, in the order of their oldest
        self._bulk: list[Session] = []

    def __bool__(self) -> bool:
        return bool(self._realtime or self._bulk or self._lent)

    @property
    def only_bulk(self) -> bool:
        """True when none of the frames is of a realtime session."""
        return not self._realtime

    def turn_is_over(self, rows: int, max_rows: int) -> bool:
        """Whether the loop's other work comes first, ``rows`` having been answered in this turn.

        That is so from ``max_rows`` on, once the oldest frame was answered, and when there is but
        bulk and some of it was.
        """
        return (rows >= max_rows and not self._owed) or (self.only_bulk and self._bulk_served)

    @property
    def trains(self) -> bool:
        """True when a session that trains has a frame here."""
        return any(s.trains for s in self._realtime) or any(s.trains for s in self._bulk)

    @property
    def frames(self) -> int:
        """How many frames wait."""
        waiting = sum(len(session.pending) for session in (*self._realtime, *self._bulk))
        return waiting + len(self._lent)

    def add(self, session: Session, frame: Frame) -> None:
        """Put a frame behind the session's others."""
        if not session.pending:
            (self._bulk if session.bulk else self._realtime).append(session)
        session.pending.append(frame)
        self.rows += frame.rows

    def drop(self, session: Session) -> None:
        """Forget the frames of a session that has ended."""
        if session.pending:
            (self._bulk if session.bulk else self._realtime).remove(session)
            self.rows -= sum(frame.rows for frame in session.pending)
            session.pending.clear()
        for frame in [frame for frame in self._lent if frame.session is session]:
            self._lent.remove(frame)
            self.rows -= frame.rows

    def lend(self, group: list[Frame]) -> None:
        """Count a group that was taken out as waiting until ``take_back``."""
        self._lent = list(group)
        for frame in group:
            self.rows += frame.rows
            frame.session.held.append(frame)

    def take_back(self) -> list[Frame]:
        """Return those of the group that was lent whose sessions have not ended."""
        group, self._lent = self._lent, []
        for frame in group:
            self.rows -= frame.rows
            frame.session.held.remove(frame)
        return group

    def clear(self) -> None:
        """Forget every frame: nobody answers here any more, and their clients send them again."""
        for session in (*self._realtime, *self._bulk):
            session.pending.clear()
        self.take_back()
        self._realtime, self._bulk, self.rows = [], [], 0

    def next_group(self, trains: bool, max_rows: int) -> list[Frame]:
        """The oldest frame of each session, as many as fit into ``max_rows`` rows, at least one.

        Frames of training sessions stay unless ``trains``, and bulk ones behind realtime ones.
        The others of a session wait for the next group: a frame's check may depend on what the one
        before it did. Where not all fit, a group of the smallest is followed by one that begins
        with the oldest.
        """
        if len(self._realtime) == 1 and not self._bulk:
            return self._next_of(self._realtime[0], trains)
        group: list[Frame] = []
        small, owed = None, False
        if self.rows > max_rows and not self._owed:
            small = _smallest(self._realtime, trains, max_rows)
            oldest = next((s for s in self._realtime if trains or not s.trains), None)
            owed = oldest is not None and oldest not in small
        rows, self._realtime = self._gather(self._realtime, trains, max_rows, group, small=small)
        self._owed = owed
        before = len(group)
        if self._bulk and not any(trains or not session.trains for session in self._realtime):
            most = min(max_rows, rows + BULK_ROWS)
            more, self._bulk = self._gather(self._bulk, trains, most, group, rows)
            rows += more
        self._bulk_served = len(group) > before
        self.rows -= rows
        return group

    def overdue(self, now: float) -> list[Frame]:
        """The oldest frames of the sessions whose deadline has come by ``now``, taken out."""
        late = [s for s in (*self._realtime, *self._bulk) if s.deadline_of_oldest() <= now]
        group = [session.pending.popleft() for session in late]
        for session in late:
            if not session.pending:
                (self._bulk if session.bulk else self._realtime).remove(session)
        self.rows -= sum(frame.rows for frame in group)
        return group

    def soonest_deadline(self) -> float:
        """When the first frame here will be overdue, in monotonic seconds; infinity for never."""
        sessions = (*self._realtime, *self._bulk)
        return min((s.deadline_of_oldest() for s in sessions), default=float("inf"))

    def _next_of(self, session: Session, trains: bool) -> list[Frame]:
        """The group where only this session has frames, a realtime one: no choice to make."""
        self._owed = self._bulk_served = False
        if session.trains and not trains:
            return []
        frame = session.pending.popleft()
        self.rows -= frame.rows
        if not session.pending:
            self._realtime = []
        return [frame]

    def _gather(
        self,
        sessions: list[Session],
        trains: bool,
        max_rows: int,
        group: list[Frame],
        rows: int = 0,
        small: set[Session] | None = None,
    ) -> tuple[int, list[Session]]:
        """Move frames into ``group``, in place; rows moved, and the sessions that have frames.

        With ``small`` only the frames of these sessions. Who was served comes last the next time.
        """
        rest: list[Session] = []
        served: list[Session] = []
        before = rows
        for session in sessions:
            frame = session.pending[0]
            too_many = group and rows + frame.rows > max_rows
            if (session.trains and not trains) or too_many or (small and session not in small):
                rest.append(session)
                continue
            session.pending.popleft()
            rows += frame.rows
            group.append(frame)
            if session.pending:
                served.append(session)
        return rows - before, rest + served


def _smallest(sessions: list[Session], trains: bool, max_rows: int) -> set[Session]:
    """The sessions whose oldest frames are the smallest, as many as fit; at least one."""
    rows, found = 0, set[Session]()
    ready = [session for session in sessions if trains or not session.trains]
    for session in sorted(ready, key=lambda session: session.pending[0].rows):
        rows += session.pending[0].rows
        if found and rows > max_rows:
            break
        found.add(session)
    return found
