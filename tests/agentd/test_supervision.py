"""What hangs is found out by a count that stands still, and only by time that was watched."""

import asyncio
import time

import pytest

from agentd import supervision
from agentd.supervision import Pulse, keep_running, watching


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(supervision.time, "monotonic", lambda: now[0])
    return now


def test_a_pulse_that_moves_stands_still_for_no_time(clock):
    beats = [0]
    pulse = Pulse(lambda: beats[0])
    still = []
    for _ in range(4):
        clock[0] += 0.25
        still.append(pulse.still_s())
    beats[0] += 1
    clock[0] += 0.25
    assert still == [0.25, 0.5, 0.75, 1.0]
    assert pulse.still_s() == 0.0


@pytest.mark.parametrize("jump", [10.0, 1e6])
def test_time_in_which_nobody_watched_does_not_count(clock, jump):
    """Both processes were stopped, or the machine slept."""
    pulse = Pulse(lambda: 0)
    clock[0] += jump
    assert pulse.still_s() <= 1.0


async def test_who_stands_still_is_told_of_once_and_who_moves_never():
    told, beats = [], [0]
    with watching(Pulse(lambda: beats[0]), lambda: 0.4, told.append):
        for _ in range(8):
            beats[0] += 1
            await asyncio.sleep(0.1)
        assert told == []
        await asyncio.sleep(1.2)
    assert len(told) == 1
    assert 0.4 < told[0] < 1.0


async def test_a_process_is_started_again_after_growing_pauses_and_never_after_the_stop():
    pauses, stop = [], asyncio.Event()

    async def run() -> int:
        return 7

    def ended(code: int, pause_s: float) -> bool:
        pauses.append((code, pause_s))
        if len(pauses) == 5:
            asyncio.get_running_loop().call_later(0.05, stop.set)
        return True

    began = time.monotonic()
    await keep_running(run, stop, ended)
    assert pauses == [(7, 0.05), (7, 0.1), (7, 0.2), (7, 0.4), (7, 0.8)]
    assert time.monotonic() - began < 1.4  # the last pause was cut short


async def test_a_process_that_would_end_so_again_is_left():
    codes = []
    await keep_running(lambda: asyncio.sleep(0, 78), asyncio.Event(), lambda *e: codes.append(e))
    assert codes == [(78, 0.05)]
