"""Groups: one frame a session, in order, within a bound, training held back where it must."""

from agentd.server.batching.frame_queue import BULK_ROWS, FrameQueue
from agentd.server.batching.session import Frame, Session


def session(trains: bool = True, bulk: bool = False, deadline: float | None = None) -> Session:
    """A session that no agent has and no connection carries."""
    role = "train" if trains else "play"
    return Session(b"id", b"run", role, 4, 0, 32, bulk=bulk, deadline_s=deadline)


def frame(owner: Session, rows: int, arrived: float = 0.0) -> Frame:
    return Frame(session=owner, seq=1, message=None, rows=rows, arrived=arrived)


def taken(group) -> list[int]:
    return [frame.rows for frame in group]


def test_a_group_has_the_oldest_frame_of_each_session():
    queue, one, two = FrameQueue(), session(), session()
    for owner, rows in ((one, 1), (one, 2), (two, 3), (one, 4)):
        queue.add(owner, frame(owner, rows))
    assert queue.rows == 10

    groups = []
    while queue:
        groups.append(taken(queue.next_group(True, 100)))

    assert groups == [[1, 3], [2], [4]]
    assert queue.rows == 0


def test_a_group_stays_within_its_bound_unless_a_single_frame_is_larger():
    queue, owners = FrameQueue(), [session() for _ in range(4)]
    for owner, rows in zip(owners, (50, 60, 40, 300), strict=True):
        queue.add(owner, frame(owner, rows))

    assert taken(queue.next_group(True, 100)) == [50, 40]
    assert taken(queue.next_group(True, 100)) == [60]
    assert taken(queue.next_group(True, 100)) == [300]


def test_frames_that_train_wait_and_the_others_do_not():
    queue, trains, plays = FrameQueue(), session(), session(trains=False)
    queue.add(trains, frame(trains, 1))
    queue.add(plays, frame(plays, 2))

    assert queue.trains
    assert taken(queue.next_group(False, 100)) == [2]
    assert queue.next_group(False, 100) == []
    assert taken(queue.next_group(True, 100)) == [1]


def test_a_session_that_ended_leaves_nothing_behind():
    queue, gone, stays = FrameQueue(), session(), session()
    for owner, rows in ((gone, 1), (gone, 2), (stays, 4)):
        queue.add(owner, frame(owner, rows))

    queue.drop(gone)

    assert queue.rows == 4
    assert taken(queue.next_group(True, 100)) == [4]
    assert not queue


def test_a_group_that_is_lent_counts_as_waiting_until_it_is_taken_back():
    queue, gone, stays = FrameQueue(), session(), session()
    for owner, rows in ((gone, 1), (stays, 2), (stays, 4)):
        queue.add(owner, frame(owner, rows))
    group = queue.next_group(True, 100)

    queue.lend(group)
    assert (queue.rows, queue.frames, bool(queue)) == (7, 3, True)
    assert [list(owner.held) for owner in (gone, stays)] == [[group[0]], [group[1]]]
    queue.drop(gone)
    assert (queue.rows, queue.frames) == (6, 2)
    assert queue.take_back() == [group[1]]
    assert (queue.rows, queue.frames) == (4, 1)
    assert not stays.held

    queue.lend(queue.next_group(True, 100))
    queue.clear()
    assert (queue.rows, queue.frames, bool(queue)) == (0, 0, False)
    assert queue.take_back() == []


def test_bulk_frames_come_last_and_share_a_turn_only_so_far():
    queue, game = FrameQueue(), session()
    bulks = [session(bulk=True) for _ in range(3)]
    for owner in bulks:
        queue.add(owner, frame(owner, BULK_ROWS // 2))
    queue.add(game, frame(game, 5))
    assert not queue.only_bulk
    assert queue.frames == 4

    assert taken(queue.next_group(True, 8192)) == [5, BULK_ROWS // 2, BULK_ROWS // 2]
    assert queue.only_bulk
    assert taken(queue.next_group(True, 8192)) == [BULK_ROWS // 2]
    assert not queue
    assert queue.rows == 0


def test_bulk_waits_while_a_realtime_session_has_more():
    queue, game, bulk = FrameQueue(), session(), session(bulk=True)
    queue.add(bulk, frame(bulk, 7))
    queue.add(game, frame(game, 1))
    queue.add(game, frame(game, 2))

    assert [taken(queue.next_group(True, 100)) for _ in range(2)] == [[1], [2, 7]]


def test_bulk_is_not_held_back_by_training_that_waits():
    queue, game, bulk = FrameQueue(), session(trains=True), session(trains=False, bulk=True)
    queue.add(game, frame(game, 1))
    queue.add(bulk, frame(bulk, 7))
    assert taken(queue.next_group(False, 100)) == [7]


def test_frames_are_overdue_by_their_own_deadline():
    queue = FrameQueue()
    soon, late, never = session(deadline=0.010), session(deadline=0.050), session()
    for owner in (soon, late, never):
        queue.add(owner, frame(owner, 1, arrived=1.0))
    queue.add(soon, frame(soon, 2, arrived=1.5))

    assert queue.soonest_deadline() == 1.010
    assert queue.overdue(1.009) == []
    assert taken(queue.overdue(1.020)) == [1]
    assert queue.soonest_deadline() == 1.050
    assert queue.rows == 4
    assert taken(queue.overdue(9.0)) == [2, 1]
    assert queue.soonest_deadline() == float("inf")
    assert taken(queue.next_group(True, 100)) == [1]


def turns(queue: FrameQueue, most: int) -> list[list[list[int]]]:
    """What each turn of the loop answers: its groups, in rows of their frames."""
    found = []
    while queue:
        groups, before = [], queue.rows
        while queue and not (groups and queue.turn_is_over(before - queue.rows, most)):
            groups.append(taken(queue.next_group(True, most)))
        found.append(groups)
    return found


def test_a_turn_has_a_bounded_number_of_rows_whoever_sends_them():
    queue, large = FrameQueue(), [session() for _ in range(40)]
    for owner in large:
        for _ in range(8):
            queue.add(owner, frame(owner, 2048))

    found = turns(queue, 1024)

    assert len(found) == 320
    assert max(sum(map(sum, groups)) for groups in found) == 2048


def test_the_smallest_frames_come_first_and_the_oldest_is_not_passed_over_for_ever():
    queue, large, small = FrameQueue(), session(), [session() for _ in range(1500)]
    queue.add(large, frame(large, 4000))
    answered = 0
    for _ in range(3):
        for owner in small:  # more in every turn than fit into one
            queue.add(owner, frame(owner, 1))
        first = taken(queue.next_group(True, 1024))
        answered += first.count(1)
        if not queue.turn_is_over(len(first), 1024):
            assert taken(queue.next_group(True, 1024)) == [4000]
            assert queue.turn_is_over(5024, 1024)
            break
    else:
        raise AssertionError("the large frame waits for ever")
    assert answered == 1024


def test_large_frames_take_turns():
    queue, one, two = FrameQueue(), session(), session()
    for owner in (one, one, one, two, two, two):
        queue.add(owner, frame(owner, 2000))

    owners = [queue.next_group(True, 1000)[0].session for _ in range(4)]

    assert [owner is two for owner in owners] == [False, True, False, True]


def test_a_large_bulk_frame_has_its_share_of_a_turn_in_which_games_play():
    queue, game, bulk = FrameQueue(), session(), session(bulk=True)
    queue.add(bulk, frame(bulk, 4 * BULK_ROWS))
    queue.add(game, frame(game, 1))
    assert turns(queue, 8192) == [[[1], [4 * BULK_ROWS]]]
