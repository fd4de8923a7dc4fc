"""A child's channel is its own: what foreign code reads and prints is something else."""

import subprocess
import sys

from agentd.children import child_environment

CHILD = """
import os, subprocess, sys
from agentd.children import private_channel
commands, answers = private_channel()
print("a print", flush=True)
os.write(1, b"from C\\n")
subprocess.run([sys.executable, "-c", "import os; print(os.listdir('/proc/self/fd'))"])
assert sys.stdin.read() == ""
os.write(answers, os.read(commands, 100).upper())
"""


def test_foreign_code_reaches_neither_end_of_the_channel() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=b"task",
        capture_output=True,
        env=child_environment(),
        timeout=30,
        check=True,
    )

    assert done.stdout == b"TASK"
    heard = done.stderr.decode().splitlines()
    assert heard[:2] == ["a print", "from C"]
    assert heard[2].count("'") == 2 * 4, "a program of the child holds 0, 1, 2 and the listing"
