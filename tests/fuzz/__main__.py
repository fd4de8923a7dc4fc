"""``python -m tests.fuzz TARGET``: coverage-guided fuzzing by atheris; see ``scripts/fuzz --help``.

It begins with the target's examples and what was found before (tests/fuzz/finds). What it finds is
written to ``--to`` with the command that repeats it, and belongs into finds/ with its mend.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from pathlib import Path

FINDS = Path(__file__).parent / "finds"
UNAVAILABLE = 69


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
    with atheris.instrument_imports(include=["agentd"]):
        from tests.fuzz.targets import TARGETS, try_one
    if asked.target not in TARGETS:
        parser.error(f"no target {asked.target}; there are {', '.join(TARGETS)}")
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
