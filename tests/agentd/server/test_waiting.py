"""Waves: one frame a session, in order, within a bound, training held back where it must."""

from collections import deque
from types import SimpleNamespace

from agentd.server.session import Frame
from agentd.server.waiting import Waiting


def session(trains: bool = True) -> SimpleNamespace:
    return SimpleNamespace(pending=deque(), trains=trains)


def frame(owner: SimpleNamespace, rows: int) -> Frame:
    return Frame(session=owner, seq=1, message=None, rows=rows, arrived=0.0)


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
