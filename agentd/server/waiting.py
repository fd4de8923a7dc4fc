"""Frames that wait for their turn, session by session, and the waves that they are answered in."""

from __future__ import annotations

from agentd.server.session import Frame, Session

__all__ = ["Waiting"]


class Waiting:
    """Taken and unanswered frames of one agent. Within a session the order is that of arrival."""

    def __init__(self) -> None:
        self.rows = 0
        self._sessions: list[Session] = []  # those with frames, in the order of their oldest

    def __bool__(self) -> bool:
        return bool(self._sessions)

    @property
    def trains(self) -> bool:
        """True when a session that trains has a frame here."""
        return any(session.trains for session in self._sessions)

    def add(self, session: Session, frame: Frame) -> None:
        """Put a frame behind the session's others."""
        if not session.pending:
            self._sessions.append(session)
        session.pending.append(frame)
        self.rows += frame.rows

    def drop(self, session: Session) -> None:
        """Forget the frames of a session that has ended."""
        if session.pending:
            self._sessions.remove(session)
            self.rows -= sum(frame.rows for frame in session.pending)
            session.pending.clear()

    def next_wave(self, trains: bool, max_rows: int) -> list[Frame]:
        """The oldest frame of each session, as many as fit into ``max_rows`` rows, at least one.

        Frames of training sessions stay unless ``trains``. The others of a session wait for the
        next wave: a frame's check may depend on what the one before it did.
        """
        wave: list[Frame] = []
        rest: list[Session] = []
        rows = 0
        for session in self._sessions:
            frame = session.pending[0]
            if (session.trains and not trains) or (wave and rows + frame.rows > max_rows):
                rest.append(session)
                continue
            session.pending.popleft()
            rows += frame.rows
            wave.append(frame)
            if session.pending:
                rest.append(session)
        self._sessions = rest
        self.rows -= rows
        return wave
