"""The bench of learning in a running game plays what it was asked to, and counts it."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def bench(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("bench_live")


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("--hz", "120"), ("--delay", "1"), ("--who", "old")])
def test_a_run_is_played_to_its_mark(
    bench: ModuleType, specs_of: Callable[..., list[Any]], words: tuple[str, ...]
) -> None:
    common = ("--tasks", "cartpole", "--rows", "400", "--fps", "2000", "--episodes", "2")
    (spec,) = specs_of(bench, *common, "--seeds", "3", *words)

    found = bench.run(spec)

    assert found["marks"] == [800 if "--hz" in words else 400]
    assert len(found["scores"]) == len(found["seconds"]) == 1
    assert 5 < found["scores"][0] <= 500
    assert found["frames"]["count"] >= found["marks"][0]
    assert len(found["returns"]) > 2
