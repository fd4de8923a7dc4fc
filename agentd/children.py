"""How agentd starts Python processes of its own: the same interpreter, the same packages.

They speak with the process that started them over a channel that foreign code cannot write to.

``-P`` keeps the folder that a process starts in off its import path, so that a game's own
``queue.py`` or ``numpy/`` there is never taken for ours. Nothing here imports NumPy.
"""

import os
import sys
from pathlib import Path

_HOME = Path(__file__).resolve().parent.parent
"""The folder that holds the package agentd: a clone that was never installed runs too."""


def python_module(module: str, *arguments: str) -> list[str]:
    """Return the command that runs ``module`` as a program in a process of its own."""
    return [sys.executable, "-P", "-m", module, *arguments]


def child_environment(**more: str) -> dict[str, str]:
    """Return this process's environment for a child, with ``more`` variables set.

    The child finds the agentd that runs here, and what PYTHONPATH named before.
    """
    paths = [str(_HOME), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, **more, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def private_channel() -> tuple[int, int]:
    """Take this process's stdin and stdout for itself; return their new descriptors.

    From now on number 0 is empty and number 1 leads to stderr, so that whatever a library, a driver
    or a person's environment reads or prints, from Python or from C, misses the channel. Programs
    that are started from here do not inherit it.
    """
    commands, answers = os.dup(0), os.dup(1)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    return commands, answers
