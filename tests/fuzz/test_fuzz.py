"""Every target takes its examples, changed a little, and what fuzzing has found before."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS, try_one

ROOT = Path(__file__).resolve().parents[2]
FINDS = sorted((Path(__file__).parent / "finds").glob("*-*"))


def changed(chance: random.Random, data: bytes) -> bytes:
    """A few bytes changed, left out, doubled or put in."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(found) + 1)
        match chance.randrange(4):
            case 0 if at < len(found):
                found[at] = chance.choice((0, 0xFF, chance.randrange(256)))
            case 1:
                del found[at : at + chance.randint(1, 8)]
            case 2:
                found[at:at] = found[at : at + 16]
            case _:
                found[at:at] = chance.choice(
                    (b"\xff\xff\xff\xff", b"\0", b"-1", b"nan", b"{", b"\n")
                )
    return bytes(found)


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_raises_what_it_may_and_nothing_else(name):
    chance = random.Random(name)
    for example in TARGETS[name].examples:
        try_one(name, example)
        for _ in range(30):
            try_one(name, changed(chance, example))


@pytest.mark.parametrize("name", [name for name in TARGETS if TARGETS[name].refuses])
def test_an_example_is_one(name):
    """A target that refused its own examples would try nothing."""
    taken = [data for data in TARGETS[name].examples if takes(name, data)]
    assert taken


def takes(name: str, data: bytes) -> bool:
    try:
        TARGETS[name].run(data)
    except TARGETS[name].refuses:
        return False
    return True


def test_what_was_found_stays_mended():
    for path in FINDS:
        try_one(path.name.partition("-")[0], path.read_bytes())


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", TARGETS)
def test_a_minute_of_fuzzing_finds_nothing(name, tmp_path):
    pytest.importorskip("atheris", reason="pip install atheris")
    command = ["scripts/fuzz", name, "--seconds", "60", "--to", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
