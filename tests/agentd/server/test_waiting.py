"""Waves: one frame a session, in order, within a bound, training held back where it must."""

from collections import deque
from types import SimpleNamespace

from agentd.server.batching.frame_queue import BULK_ROWS, Waiting
from agentd.server.batching.session import Frame, Session


def session(
    trains: bool = True, bulk: bool = False, deadline: float | None = None
) -> SimpleNamespace:
    made = SimpleNamespace(pending=deque(), trains=trains, bulk=bulk, deadline_s=deadline)
    made.deadline_of_oldest = lambda: Session.deadline_of_oldest(made)
    return made


def frame(owner: SimpleNamespace, rows: int, arrived: float = 0.0) -> Frame:
    return Frame(session=owner, seq=1, message=None, rows=rows, arrived=arrived)


def taken(wave) -> list[int]:
    return [frame.rows for frame in wave]


def test_a_wave_has_the_oldest_frame_of_each_session():
    waiting, one, two = Waiting(), session(), session()
    for owner, rows in ((one, 1), (one, 2), (two, 3), (one, 4)):
        waiting.add(owner, frame(owner, rows))
    assert waiting.rows == 10

    waves = []
    while waiting:
        waves.append(taken(waiting.next_wave(True, 100)))

    assert waves == [[1, 3], [2], [4]]
    assert waiting.rows == 0


def test_a_wave_stays_within_its_bound_unless_a_single_frame_is_larger():
    waiting, owners = Waiting(), [session() for _ in range(4)]
    for owner, rows in zip(owners, (50, 60, 40, 300), strict=True):
        waiting.add(owner, frame(owner, rows))

    assert taken(waiting.next_wave(True, 100)) == [50, 40]
    assert taken(waiting.next_wave(True, 100)) == [60]
    assert taken(waiting.next_wave(True, 100)) == [300]


def test_frames_that_train_wait_and_the_others_do_not():
    waiting, trains, plays = Waiting(), session(), session(trains=False)
    waiting.add(trains, frame(trains, 1))
    waiting.add(plays, frame(plays, 2))

    assert waiting.trains
    assert taken(waiting.next_wave(False, 100)) == [2]
    assert waiting.next_wave(False, 100) == []
    assert taken(waiting.next_wave(True, 100)) == [1]


def test_a_session_that_ended_leaves_nothing_behind():
    waiting, gone, stays = Waiting(), session(), session()
    for owner, rows in ((gone, 1), (gone, 2), (stays, 4)):
        waiting.add(owner, frame(owner, rows))

    waiting.drop(gone)

    assert waiting.rows == 4
    assert taken(waiting.next_wave(True, 100)) == [4]
    assert not waiting


def test_bulk_frames_come_last_and_share_a_turn_only_so_far():
    waiting, game = Waiting(), session()
    bulks = [session(bulk=True) for _ in range(3)]
    for owner in bulks:
        waiting.add(owner, frame(owner, BULK_ROWS // 2))
    waiting.add(game, frame(game, 5))
    assert not waiting.only_bulk
    assert waiting.frames == 4

    assert taken(waiting.next_wave(True, 8192)) == [5, BULK_ROWS // 2, BULK_ROWS // 2]
    assert waiting.only_bulk
    assert taken(waiting.next_wave(True, 8192)) == [BULK_ROWS // 2]
    assert not waiting
    assert waiting.rows == 0


def test_bulk_waits_while_a_realtime_session_has_more():
    waiting, game, bulk = Waiting(), session(), session(bulk=True)
    waiting.add(bulk, frame(bulk, 7))
    waiting.add(game, frame(game, 1))
    waiting.add(game, frame(game, 2))

    assert [taken(waiting.next_wave(True, 100)) for _ in range(2)] == [[1], [2, 7]]


def test_bulk_is_not_held_back_by_training_that_waits():
    waiting, game, bulk = Waiting(), session(trains=True), session(trains=False, bulk=True)
    waiting.add(game, frame(game, 1))
    waiting.add(bulk, frame(bulk, 7))
    assert taken(waiting.next_wave(False, 100)) == [7]


def test_frames_are_overdue_by_their_own_deadline():
    waiting = Waiting()
    soon, late, never = session(deadline=0.010), session(deadline=0.050), session()
    for owner in (soon, late, never):
        waiting.add(owner, frame(owner, 1, arrived=1.0))
    waiting.add(soon, frame(soon, 2, arrived=1.5))

    assert waiting.soonest_deadline() == 1.010
    assert waiting.overdue(1.009) == []
    assert taken(waiting.overdue(1.020)) == [1]
    assert waiting.soonest_deadline() == 1.050
    assert waiting.rows == 4
    assert taken(waiting.overdue(9.0)) == [2, 1]
    assert waiting.soonest_deadline() == float("inf")
    assert taken(waiting.next_wave(True, 100)) == [1]
