"""Frames that wait for their turn, session by session, and the groups that are answered together.

``realtime`` sessions come first. ``bulk`` sessions share a turn of the loop only as far as
``BULK_ROWS`` go; what is left waits for the next turn, in which newly come realtime frames are
first again. So a client that asks for a million rows delays a game by one small pass at most.
"""

from agentd.server.batching.session import Frame, Session

BULK_ROWS = 1_024
"""Rows of bulk sessions in one turn, unless a single frame has more: about half a millisecond."""


class FrameQueue:
    """Taken and unanswered frames of one agent. Within a session the order is that of arrival."""

    def __init__(self) -> None:
        self.rows = 0
        self._realtime: list[Session] = []  # those with frames, in the order of their oldest
        self._bulk: list[Session] = []

    def __bool__(self) -> bool:
        return bool(self._realtime or self._bulk)

    @property
    def only_bulk(self) -> bool:
        """True when none of the frames is of a realtime session."""
        return not self._realtime

    @property
    def trains(self) -> bool:
        """True when a session that trains has a frame here."""
        return any(s.trains for s in self._realtime) or any(s.trains for s in self._bulk)

    @property
    def frames(self) -> int:
        """How many frames wait."""
        return sum(len(session.pending) for session in (*self._realtime, *self._bulk))

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

    def next_group(self, trains: bool, max_rows: int) -> list[Frame]:
        """The oldest frame of each session, as many as fit into ``max_rows`` rows, at least one.

        Frames of training sessions stay unless ``trains``, and bulk ones behind realtime ones.
        The others of a session wait for the next group: a frame's check may depend on what the one
        before it did.
        """
        group: list[Frame] = []
        rows, self._realtime = self._gather(self._realtime, trains, max_rows, group)
        if self._bulk and not any(trains or not session.trains for session in self._realtime):
            most = min(max_rows, rows + BULK_ROWS)
            more, self._bulk = self._gather(self._bulk, trains, most, group, rows)
            rows += more
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

    def _gather(
        self,
        sessions: list[Session],
        trains: bool,
        max_rows: int,
        group: list[Frame],
        rows: int = 0,
    ) -> tuple[int, list[Session]]:
        """Move frames into ``group``, in place; rows moved, and the sessions that have frames."""
        rest: list[Session] = []
        before = rows
        for session in sessions:
            frame = session.pending[0]
            if (session.trains and not trains) or (group and rows + frame.rows > max_rows):
                rest.append(session)
                continue
            session.pending.popleft()
            rows += frame.rows
            group.append(frame)
            if session.pending:
                rest.append(session)
        return rows - before, rest
