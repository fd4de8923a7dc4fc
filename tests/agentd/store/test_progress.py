"""What is kept of an agent over time: bounded, through restarts, damage and full disks."""

import errno
import json
import math
import statistics

import pytest

from agentd.errors import StorageError
from agentd.server.batching.returns import EpisodeTally
from agentd.store.files import Files
from agentd.store.progress import (
    MOST,
    MOST_LOGGED,
    PROGRESS,
    SAMPLE,
    ProgressLog,
    ProgressPoint,
    bounded_log,
    read_progress,
)


def tally(returns, won=None):
    found = EpisodeTally()
    for value in returns:
        found.add(value, 7, won)
    return found.take()


def point(at, **changes) -> ProgressPoint:
    fields = {"train": tally([float(at), float(at) + 2]), "figures": {"loss": 0.5}}
    return ProgressPoint(time=float(at), steps=10 * at, **(fields | changes))


def test_a_tally_says_what_its_episodes_were_like_and_then_forgets_them():
    returns = [1.0, 4.0, -2.0, 9.5]
    counted = EpisodeTally()
    assert counted.take() is None
    for value, won in zip(returns, (True, False, None, True), strict=True):
        counted.add(value, int(value) + 10, won)

    found = counted.take()

    assert (found.ended, found.low, found.high) == (4, -2.0, 9.5)
    assert found.mean == pytest.approx(statistics.fmean(returns))
    assert found.std == pytest.approx(statistics.pstdev(returns))
    assert found.length == (11 + 14 + 8 + 19) / 4
    assert (found.judged, found.won, found.success_rate) == (3, 2, 2 / 3)
    assert found.sample == tuple(returns)
    assert counted.take() is None


def test_two_summaries_join_as_if_all_had_been_counted_at_once():
    first, second = [3.0, 5.0, 8.0], [-1.0, 0.0]
    joined, whole = tally(first).join(tally(second)), tally(first + second)
    for name in ("ended", "mean", "std", "low", "high", "length", "sample"):
        assert getattr(joined, name) == pytest.approx(getattr(whole, name)), name
    many = tally(map(float, range(1000))).join(tally(map(float, range(5000, 5100))))
    assert len(many.sample) == SAMPLE
    assert sum(value >= 5000 for value in many.sample) == round(SAMPLE / 11)


def test_points_come_back_after_a_restart(tmp_path):
    log = ProgressLog.open(tmp_path)
    assert (log.points, log.is_due(0.0)) == ((), True)
    written = [point(1, log={"lap_s": 4.5}), point(2, train=None, eval=tally([3.0], True))]
    for each in written:
        log.add(each)

    again = ProgressLog.open(tmp_path)

    assert again.points == written == read_progress(tmp_path)
    assert (again.is_due(2.5), again.is_due(3.0)) == (False, True)
    assert again.is_due(1.5), "a clock that was set back"
    again.add(point(3))
    assert [each.time for each in read_progress(tmp_path)] == [1.0, 2.0, 3.0]


def test_the_file_stays_small_and_forgets_no_episode(tmp_path):
    log = ProgressLog.open(tmp_path)
    count = 2 * MOST + 3
    log.points = [point(at) for at in range(count - MOST, count)]
    log.add(point(count))

    again = ProgressLog.open(tmp_path)

    assert len(again.points) == MOST // 2 + 1
    assert again.spacing_s == 2.0
    assert sum(each.train.ended for each in again.points) == 2 * (MOST + 1)
    assert again.points[0].train.mean == count - MOST + 1.5
    assert again.points[-1] == point(count)


def test_a_point_has_a_bounded_size():
    names = {f"a.long.name/of-{at:03}" + 44 * "x": 1 / 3 for at in range(256)}
    full = point(1, log=bounded_log(names)).join(point(2, log=bounded_log(names)))
    assert len(full.log) == MOST_LOGGED
    assert len(json.dumps(full.log)) * MOST < 4 * 2**20


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-9],
        lambda data: data + b'{"time": "x"}\n',
        lambda data: data + b"\xff\x00\n",
        lambda data: data.replace(b"progress", b"progrezz"),
        lambda data: data.replace(b'"format":1', b'"format":"one"'),
        lambda data: b"[]\n" + data.partition(b"\n")[2],
    ],
)
def test_what_is_damaged_is_left_out_and_written_anew(tmp_path, damage):
    log = ProgressLog.open(tmp_path)
    for at in (1, 2, 3):
        log.add(point(at))
    path = tmp_path / PROGRESS
    path.write_bytes(damage(path.read_bytes()))

    again = ProgressLog.open(tmp_path)

    assert list(again.points[:2]) == [point(1), point(2)]
    again.add(point(9))
    assert read_progress(tmp_path)[-1] == point(9)
    assert all(json.loads(line) for line in path.read_bytes().splitlines())


def test_a_full_disk_loses_no_point(tmp_path):
    class Full(Files):
        full = True

        def write(self, fd, data):
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(fd, data)

    files = Full()
    log = ProgressLog.open(tmp_path, files)
    with pytest.raises(StorageError, match="No space left"):
        log.add(point(1))
    files.full = False
    log.add(point(2))
    assert read_progress(tmp_path) == [point(1), point(2)]


def test_an_agent_that_is_gone_gets_no_folder_back(tmp_path):
    log = ProgressLog.open(tmp_path / "gone")
    with pytest.raises(StorageError, match="was removed"):
        log.add(point(1))
    assert not (tmp_path / "gone").exists()


def test_numbers_that_json_cannot_carry_do_not_come_back_as_others(tmp_path):
    log = ProgressLog.open(tmp_path)
    log.add(point(1, figures={"loss": math.inf}))
    log.add(point(2))
    assert read_progress(tmp_path) == [point(2)]
