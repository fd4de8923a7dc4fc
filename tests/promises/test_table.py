"""The table of promises is whole: its tests exist, its mutants fit the source, the page lists it.

That every mutant is caught takes minutes: ``scripts/mutants``, or the last test by ``-m long``.
"""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.promises.table import PROMISES, mutants, mutants_page, promises_page

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "RELIABILITY.md"
NUMBERS = [*(f"D{n}" for n in range(1, 9)), *(f"N{n}" for n in range(1, 6))]
NUMBERS += [*(f"E{n}" for n in range(1, 5)), *(f"S{n}" for n in range(1, 5)), "O1", "O2", "O3"]
NUMBERS += [*(f"T{n}" for n in range(1, 6)), "I1"]


@cache
def names_in(file: str) -> set[str]:
    """The names of a file's tests."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in tree.body if isinstance(node, functions)}


def is_missing(node: str) -> bool:
    """Whether there is no test of this node id."""
    file, _, name = node.partition("::")
    name = name.partition("[")[0]
    known = (ROOT / file).is_file() and name in names_in(file)
    return not (known and name.startswith("test_"))


def test_every_number_has_its_line():
    assert [promise.number for promise in PROMISES] == NUMBERS
    assert all(promise.holds and promise.shown and promise.mutants for promise in PROMISES)


def test_every_test_of_the_table_exists():
    named = [test for promise in PROMISES for test in promise.shown]
    named += [mutant.caught_by for _, mutant in mutants()]
    assert [test for test in named if is_missing(test)] == []
    assert is_missing("tests/promises/test_table.py::test_that_is_none")


def test_every_mutant_is_caught_by_a_test_that_its_promise_names():
    for promise in PROMISES:
        shown = {test.partition("[")[0] for test in promise.shown}
        caught = {mutant.caught_by.partition("[")[0] for mutant in promise.mutants}
        assert caught <= shown, promise.number


def test_every_mutant_has_its_place_in_the_source():
    texts = {mutant.file: (ROOT / mutant.file).read_text() for _, mutant in mutants()}
    lost = [number for number, each in mutants() if texts[each.file].count(each.old) != 1]
    assert lost == []
    assert all(each.new != each.old for _, each in mutants())


def test_what_shows_a_promise_at_length_is_there():
    for promise in PROMISES:
        words = promise.longer.split()
        places = [word for word in words if "/" in word]
        assert places, promise.number
        for place in places:
            if "::" in place:
                assert not is_missing(place), promise.number
            else:
                assert (ROOT / place).exists(), promise.number


def test_the_page_lists_the_promises_and_the_mutants():
    page = PAGE.read_text()
    assert promises_page() in page
    took = re.findall(r"^\| ([A-Z]\d\.\d) \|.*\| (\d+|–) \|$", page, re.M)
    assert mutants_page(dict(took)) in page


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_every_mutant_is_caught():
    subprocess.run(["scripts/mutants"], cwd=ROOT, check=True)
