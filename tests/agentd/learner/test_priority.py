"""A learner gives way to games: its niceness, its policy, its slice."""

import os
import subprocess
import sys

import pytest

from agentd.learner.priority import NICE

CODE = """
import os
from agentd.learner.priority import be_nice, yield_to_others
be_nice()
yield_to_others()
print(os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0) == os.SCHED_BATCH)
"""


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux has SCHED_BATCH")
def test_a_learner_gives_way_to_whatever_wakes_up() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)

    assert done.stdout.split() == [str(min(19, before + NICE)), "True"]
