"""A learner gives way to games: its niceness, its policy, its slice."""

import os
import subprocess
import sys

import pytest

from agentd.learner.priority import NICE

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
