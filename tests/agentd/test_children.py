"""A child's channel is its own: what foreign code reads and prints is something else.

A child of an event loop tells every waiter how it ended, and ends when it is asked to.
"""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from agentd.children import Child, child_environment

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


async def test_every_waiter_learns_how_a_child_ended() -> None:
    child = Child([sys.executable, "-c", "raise SystemExit(7)"], env=child_environment())
    assert child.returncode is None

    assert await asyncio.gather(child.wait(), child.wait()) == [7, 7]
    assert (child.returncode, await child.wait()) == (7, 7)
    child.kill()  # one that has ended is left alone


@pytest.mark.parametrize(
    ("ask", "with_signal"), [(Child.terminate, signal.SIGTERM), (Child.kill, signal.SIGKILL)]
)
def test_a_child_ends_when_it_is_asked_to(ask: Callable[[Child], None], with_signal: int) -> None:
    async def run() -> int:
        child = Child(["sleep", "60"], env=child_environment())
        waiting = asyncio.create_task(child.wait())
        await asyncio.sleep(0)
        waiting.cancel()  # whoever gives up waiting takes nothing from the others
        ask(child)
        return await child.wait()

    assert uvloop.run(run()) == -with_signal


async def test_a_program_that_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Child([str(tmp_path / "none")], env=child_environment())
