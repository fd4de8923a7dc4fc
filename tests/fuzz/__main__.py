"""``python -m tests.fuzz TARGET``: coverage-guided fuzzing by atheris; see ``scripts/fuzz --help``.

It begins with the target's examples and what was found before (tests/fuzz/finds). What it finds is
written to ``--to`` with the command that repeats it, and belongs into finds/ with its mend.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType

FINDS = Path(__file__).parent / "finds"
UNAVAILABLE = 69
_DATA, _CHESS = ("agentd.engine.data",), ("agentd.chess.play", "agentd.games.chess")
ROOMS = {
    **dict.fromkeys(("codec", "handshake"), ("agentd.protocol",)),
    "configuration": ("agentd.config", "agentd.engine.strictyaml", "agentd.engine.layers"),
    "checkpoint": ("agentd.store",),
    **dict.fromkeys(("csv", "idx", "npz", "npy", "protobuf"), _DATA),
    "weights": ("agentd.runs.weights", *_DATA, "agentd.engine.network"),
    **dict.fromkeys(("pgn", "uci"), _CHESS),
}
"""The rooms that each target is about."""


def main() -> int:
    """Fuzz a target, or repeat one input; return 1 where it was found wanting."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("target", help="codec, csv, …; a wrong one lists them")
    parser.add_argument("--seconds", type=int, default=60, help="for how long (60)")
    parser.add_argument("--input", type=Path, help="run the target on this file, and no other")
    parser.add_argument("--to", type=Path, default=Path("."), help="folder for what is found (.)")
    parser.add_argument("--corpus", type=Path, help="folder that keeps the inputs of new coverage")
    asked = parser.parse_args()
    if asked.input is not None:
        return repeat(asked.target, asked.input)
    try:
        import atheris
    except ImportError:
        print("skipped: no atheris here; pip install atheris", file=sys.stderr)
        return UNAVAILABLE
    from tests.fuzz.targets import TARGETS, try_one

    if asked.target not in TARGETS:
        parser.error(f"no target {asked.target}; there are {', '.join(TARGETS)}")
    logging.disable()  # what is refused is told, and nobody reads it here
    for function in functions_of(ROOMS[asked.target]):
        atheris.instrument_func(function)
    with tempfile.TemporaryDirectory() as folder:
        seeds = Path(folder) / "seeds"
        seeds.mkdir()
        for number, example in enumerate(TARGETS[asked.target].examples):
            (seeds / str(number)).write_bytes(example)
        for find in FINDS.glob(f"{asked.target}-*"):
            (seeds / find.name).write_bytes(find.read_bytes())
        corpus = asked.corpus or Path(folder) / "corpus"
        corpus.mkdir(parents=True, exist_ok=True)
        asked.to.mkdir(parents=True, exist_ok=True)
        flags = [f"-max_total_time={asked.seconds}", "-max_len=4096", "-timeout=10"]
        flags += [f"-artifact_prefix={asked.to}/{asked.target}-", "-print_final_stats=1"]
        arguments = [sys.argv[0], *flags, str(corpus), str(seeds)]
        atheris.Setup(arguments, lambda data: try_one(asked.target, data))
        atheris.Fuzz()  # it ends the process, with 77 where something was found
    return 0


def functions_of(rooms: tuple[str, ...]) -> Iterator[FunctionType]:
    """Every function and method of the modules of some rooms: what coverage is looked at in.

    To prepare the whole program takes a minute, and these are what a target is about.
    """
    for name, module in list(sys.modules.items()):
        if not any(f"{name}.".startswith(f"{room}.") for room in rooms):
            continue
        own = [each for each in vars(module).values() if getattr(each, "__module__", "") == name]
        for each in own:
            parts = vars(each).values() if isinstance(each, type) else [each]
            for part in parts:
                function = getattr(part, "__func__", getattr(part, "fget", part))
                if isinstance(function, FunctionType):
                    yield function


def repeat(name: str, path: Path) -> int:
    """Run a target on one file."""
    from tests.fuzz.targets import try_one

    try:
        try_one(name, path.read_bytes())
    except Exception:
        traceback.print_exc()
        return 1
    print("nothing wrong")
    return 0


if __name__ == "__main__":
    sys.exit(main())
