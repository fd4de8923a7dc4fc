"""What is told to install: packages by their own names, never an extra of a name on an index."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from agentd.extras import install_hint

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
INNER = f"{PROJECT['name']}["


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - {"dev", "bench"}))
def test_an_extra_is_told_by_its_packages(monkeypatch, extra, installed):
    if not installed:
        monkeypatch.setattr(metadata, "requires", _not_installed)
    hint = install_hint(extra)

    assert hint.startswith("pip install ")
    assert "agentd" not in hint
    for line in EXTRAS[extra]:
        name = re.split("[>=; ]", line)[0]
        if name.startswith(INNER):
            assert install_hint(name[len(INNER) : -1]).split()[2] in hint
        else:
            assert name in hint


def _not_installed(name: str) -> list[str]:
    raise metadata.PackageNotFoundError(name)


def test_no_text_of_the_product_names_the_extra_itself():
    found = [
        f"{path}: {line}"
        for room in ("agentd", "engine", "games", "kernels", "docs", "README.md")
        for path in ([ROOT / room] if room.endswith(".md") else (ROOT / room).rglob("*"))
        if path.suffix in {".py", ".md", ".yaml"}
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"agentd\[[a-z]", line)
    ]
    assert found == []
