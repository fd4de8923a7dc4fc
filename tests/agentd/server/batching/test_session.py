"""A session is plain data: it needs no agent, and any peer may carry it."""

from agentd.server.batching.session import Frame, Session


class Recorder:
    """A peer that keeps what it is given."""

    def __init__(self) -> None:
        self.delivered: list[bytes] = []

    def deliver(self, data: bytes) -> None:
        self.delivered.append(data)

    def close(self, reason: str) -> None:
        self.delivered.append(reason.encode())


def test_the_last_answers_are_kept_within_the_window():
    session = Session(b"id", b"run", "play", 4, 0, window=2)
    for seq in (1, 2, 3):
        session.answer(seq, bytes([seq]))
    assert list(session.answers) == [(2, b"\x02"), (3, b"\x03")]


def test_only_what_the_present_connection_asked_for_is_sent():
    peer = Recorder()
    session = Session(b"id", b"run", "play", 4, 0, window=8, peer=peer, wanted=2)
    for seq in (1, 2, 3):
        session.answer(seq, bytes([seq]))
    assert peer.delivered == [b"\x01", b"\x02"]


def test_the_oldest_frame_has_the_soonest_deadline():
    session = Session(b"id", b"run", "train", 4, 0, window=8)
    session.pending += [Frame(session, seq, 1, 10.0 + seq, None) for seq in (1, 2)]
    assert (session.trains, session.deadline_of_oldest()) == (True, float("inf"))
    session.deadline_s = 0.5
    assert session.deadline_of_oldest() == 11.5
