"""Commands bound BLAS, also after NumPy has loaded it."""

import ast
import os
import subprocess
import sys

import pytest

from agentd.blas import THREAD_VARIABLES

CODE = """
import os, numpy, threadpoolctl
from agentd.cli.screen.threads import bound_blas
blas = threadpoolctl.ThreadpoolController().select(user_api="blas")
before = [library["num_threads"] for library in blas.info()]
bound_blas({threads})
after = [library["num_threads"] for library in blas.info()]
print((before, after, os.environ["OPENBLAS_NUM_THREADS"]))
"""


def threads_of(threads: int, **environ: str) -> tuple[list[int], list[int], str]:
    clean = {name: value for name, value in os.environ.items() if name not in THREAD_VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(threads=threads)],
        env=clean | environ,
        capture_output=True,
        text=True,
        check=True,
    )
    before, after, told = ast.literal_eval(done.stdout)
    if not before:
        pytest.skip("BLAS does not say how many threads it has")
    return before, after, told


@pytest.mark.parametrize("threads", [1, 2])
def test_commands_compute_with_the_threads_asked_for(threads: int) -> None:
    _, after, told = threads_of(threads)

    assert set(after) == {threads}
    assert told == str(threads)


def test_what_the_user_set_for_the_library_stays() -> None:
    before, after, told = threads_of(1, OPENBLAS_NUM_THREADS="2", MKL_NUM_THREADS="2")

    assert (after, told) == (before, "2")


def test_the_variable_of_another_library_counts_for_nothing() -> None:
    _, after, _ = threads_of(1, OMP_NUM_THREADS="2")

    assert set(after) == {1}


COMMAND = """
import sys, threadpoolctl
from agentd.cli import main
code = main(sys.argv[1:])
blas = threadpoolctl.ThreadpoolController().select(user_api="blas")
print()
print((int(code), [library["num_threads"] for library in blas.info()]))
"""


@pytest.mark.parametrize("words", ["chess uci --model material", "chess play --model material"])
def test_a_command_that_asks_for_nothing_computes_with_one_thread(words: str) -> None:
    clean = {name: value for name, value in os.environ.items() if name not in THREAD_VARIABLES}
    command = [sys.executable, "-c", COMMAND, *words.split()]
    done = subprocess.run(
        command, env=clean, input="quit\n", capture_output=True, text=True, check=True
    )

    code, threads = ast.literal_eval(done.stdout.splitlines()[-1])
    assert (code, set(threads)) == (0, {1})
