"""A learner gives way to games: its niceness, its policy, its slice."""

import os
import subprocess
import sys
import threading
import time

import pytest

from agentd.learner import priority
from agentd.learner.priority import NICE, SpareTime

CODE = """
import os, sys
os.sched_setscheduler(0, getattr(os, sys.argv[1]), os.sched_param(0))
from agentd.learner.priority import be_nice, yield_to_others
be_nice()
yield_to_others()
print(os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0) == getattr(os, sys.argv[2]))
"""


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux has SCHED_BATCH")
@pytest.mark.parametrize(
    ("begins", "ends"), [("SCHED_OTHER", "SCHED_BATCH"), ("SCHED_IDLE", "SCHED_IDLE")]
)
def test_a_learner_gives_way_to_whatever_wakes_up(begins: str, ends: str) -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    command = [sys.executable, "-c", CODE, begins, ends]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout.split() == [str(min(19, before + NICE)), "True"]


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="Linux has SCHED_IDLE")
def test_work_in_spare_time_takes_what_others_leave_and_the_caller_stays_as_it_was() -> None:
    before = os.sched_getscheduler(0)

    inside, name = SpareTime().run(
        lambda: (os.sched_getscheduler(0), threading.current_thread().name)
    )

    assert inside == os.SCHED_IDLE
    assert name.startswith("spare-time")
    assert os.sched_getscheduler(0) == before


def test_what_work_in_spare_time_raises_is_raised_to_the_caller() -> None:
    def divide() -> float:
        return 1 / 0

    with pytest.raises(ZeroDivisionError):
        SpareTime().run(divide)


def test_the_caller_works_for_a_while_where_others_leave_too_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(priority, "_AWAY_S", 0.05)
    spare, threads = SpareTime(), []

    def look() -> None:
        threads.append(threading.current_thread())

    def wait() -> None:  # what a thread without a processor does
        time.sleep(priority._WATCHED_S)

    spare.run(wait)
    spare.run(look)
    time.sleep(0.06)
    spare.run(wait)
    time.sleep(0.06)
    spare.run(look)  # for twice as long, the second time
    time.sleep(0.06)
    spare.run(look)

    main = threading.current_thread()
    assert [thread is main for thread in threads] == [True, True, False]
