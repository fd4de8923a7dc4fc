"""``python -m tests.promises``: plant every mutant in a copy of the tree, and demand its test's no.

At last the tests run on the copy as it is: one that fails without a mutant has proved nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.promises.promise import Mutant
from tests.promises.table import PROMISES, mutants, mutants_page

ROOT = Path(__file__).resolve().parents[2]
PASSED, FAILED = 0, 1  # pytest's exit codes; others mean that no test was run
PATIENCE_S = 600.0


class Copy:
    """A copy of the tracked files, in which one defect at a time is planted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._clock = int(time.time()) + 100
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
        for name in filter(None, listed.decode().split("\0")):
            if (ROOT / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)

    def write(self, file: str, text: str) -> None:
        """Change a file; its time moves on, so that no compiled file of before is taken for it."""
        self._clock += 10
        (self.folder / file).write_text(text)
        os.utime(self.folder / file, (self._clock, self._clock))

    def test(self, *nodes: str) -> tuple[int, str]:
        """Run tests; pytest's exit code, and what it said last."""
        data = os.environ.get("AGENTD_DATA", str(ROOT.parent / "shared" / "data"))
        environ = os.environ | {"PYTHONPATH": str(self.folder), "AGENTD_DATA": data}
        environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # a start is most of what a mutant takes
        command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider"]
        command += ["-p", "pytest_asyncio.plugin", "-p", "pytest_timeout", *nodes]
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env=environ,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=PATIENCE_S * len(nodes),
            )
        except subprocess.TimeoutExpired:
            return FAILED, "it never ended"
        return done.returncode, done.stdout

    def sound(self, nodes: list[str]) -> list[str]:
        """Those of the tests that do not pass as they are."""
        _, said = self.test(*nodes)
        lines = said.splitlines()
        passed = {line.split()[1] for line in lines if line.startswith("PASSED ")}
        wrong = {line.split()[1] for line in lines if line.startswith(("FAILED ", "ERROR "))}
        bad = [node for node in nodes if any(each.startswith(node) for each in wrong)]
        return bad + [node for node in nodes if not any(e.startswith(node) for e in passed)]

    def plant(self, mutant: Mutant) -> tuple[int, str]:
        """Run a mutant's test with the mutant."""
        sound = (self.folder / mutant.file).read_text()
        if sound.count(mutant.old) != 1:
            return PASSED, f"{mutant.file} does not have its text just once"
        self.write(mutant.file, sound.replace(mutant.old, mutant.new))
        try:
            return self.test("-x", mutant.caught_by)
        finally:
            self.write(mutant.file, sound)


def main() -> int:
    """Run the mutants that were asked for; return 1 where one was not caught."""
    parser = argparse.ArgumentParser(prog="scripts/mutants", description=__doc__)
    parser.add_argument("numbers", nargs="*", help="of promises or mutants: D3 S1.2; none for all")
    parser.add_argument("--files", action="store_true", help="print the table's files of tests")
    asked = parser.parse_args()
    if asked.files:
        print(*sorted({test.partition("::")[0] for each in PROMISES for test in each.shown}))
        return 0
    wanted = [
        (number, mutant)
        for number, mutant in mutants()
        if not asked.numbers or {number, number.partition(".")[0]} & set(asked.numbers)
    ]
    if not wanted:
        parser.error("there is no such number")
    missed: list[str] = []
    seconds: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Copy(Path(folder))
        for number, mutant in wanted:
            began = time.monotonic()
            code, said = copy.plant(mutant)
            took, caught = time.monotonic() - began, code == FAILED
            seconds[number] = f"{took:.0f}"
            verdict = "caught" if caught else "MISSED"
            print(f"{verdict} {number} {mutant.says}: {took:.1f} s", flush=True)
            if not caught:
                missed.append(number)
                print(*said.splitlines()[-20:], sep="\n  ", flush=True)
        fail_anyway = copy.sound(list(dict.fromkeys(mutant.caught_by for _, mutant in wanted)))
    print("".join(f"fails without a mutant: {node}\n" for node in fail_anyway), end="")
    print(mutants_page(seconds) if not asked.numbers else "", end="")
    print(f"{len(wanted) - len(missed)} of {len(wanted)} mutants caught")
    return 1 if missed or fail_anyway else 0


if __name__ == "__main__":
    sys.exit(main())
