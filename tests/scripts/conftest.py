"""The scripts of the project as modules."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
Load = Callable[[str], ModuleType]
SpecsOf = Callable[..., list[Any]]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a script by its name, among its neighbours, as Python does that runs it."""

    def load(name: str) -> ModuleType:
        monkeypatch.syspath_prepend(str(SCRIPTS))
        spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def specs_of(monkeypatch: pytest.MonkeyPatch) -> SpecsOf:
    """Call a bench with words of its command line; the runs that it would measure."""

    def specs_of(bench: ModuleType, *words: str) -> list[Any]:
        asked: list[Any] = []
        monkeypatch.setattr(bench, "measure", lambda specs, *_: asked.extend(specs) or {})
        monkeypatch.setattr(sys, "argv", ["bench", *words])
        bench.main()
        return asked

    return specs_of
