"""A move's clock, on a time that the test makes."""

import pytest

from agentd.chess.play import clock
from agentd.chess.play.clock import Clock, Overheads


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    time = [100.0]
    monkeypatch.setattr(clock.time, "monotonic", lambda: time[0])
    return time


def test_it_ends_as_much_earlier_as_searches_were_late(now: list[float]) -> None:
    overheads = Overheads()
    first = Clock(1.0, overheads)
    assert not first.over()  # it has not begun
    first.start()
    now[0] = 100.99
    assert not first.over()
    now[0] = 101.0
    assert first.over()
    now[0] = 101.2
    first.end()  # 200 ms too late

    second = Clock(1.0, overheads)
    second.start()
    now[0] = 101.99
    assert not second.over()
    now[0] = 102.01
    assert second.over()
    second.end()
    assert 0.1 < overheads.late < 0.2  # what does not come again is forgotten by and by


def test_reading_a_long_game_counts(now: list[float]) -> None:
    move = Clock(0.1, Overheads(), spent=0.06)
    move.start()
    now[0] += 0.05
    assert move.over()


def test_half_of_the_time_is_searched_however_late_it_was(now: list[float]) -> None:
    overheads = Overheads()
    overheads.late = 5.0
    move = Clock(1.0, overheads)
    move.start()
    now[0] += 0.49
    assert not move.over()


def test_without_a_limit_it_never_ends(now: list[float]) -> None:
    move = Clock(None, Overheads())
    move.start()
    now[0] += 1e9
    assert not move.over()
