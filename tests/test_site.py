"""The documentation as a site: it builds without a warning, no dead link, no other host."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("furo", reason="needs the extra docs")
pytest.importorskip("myst_parser", reason="needs the extra docs")

ROOT = Path(__file__).resolve().parent.parent
LOADED = re.compile(
    r"""<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=["']((?:https?:)?//[^"']+)"""
)
"""What a browser fetches by itself from another host."""


def build(source: Path, into: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", str(ROOT / "docs")]
    command += ["-d", str(into / "doctrees"), str(source), str(into / "site")]
    return subprocess.run(command, capture_output=True, text=True, timeout=110)


def test_the_site_is_whole_and_asks_no_other_host(tmp_path: Path) -> None:
    done = build(ROOT, tmp_path)

    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    pages = {page.relative_to(site).as_posix(): page.read_text() for page in site.rglob("*.html")}
    wanted = {f"docs/{page.stem}.html" for page in (ROOT / "docs").glob("*.md")}
    assert set(pages) >= wanted | {"index.html", "README.html", "agentd/PROTOCOL.html"}
    assert {page: found for page, text in pages.items() if (found := LOADED.findall(text))} == {}
    sheets = [sheet for sheet in site.rglob("*.css") if "url(http" in sheet.read_text()]
    assert sheets == []


def test_a_dead_link_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "source/docs/index.md"
    page.parent.mkdir(parents=True)
    page.write_text("# A page\n\n[here](#a-page)\n")
    alive = build(tmp_path / "source", tmp_path)
    assert alive.returncode == 0, alive.stderr

    page.write_text("# A page\n\n[one](GONE.md) [two](index.md#nowhere) ![three](gone.png)\n")
    dead = build(tmp_path / "source", tmp_path)

    assert dead.returncode != 0
    assert [name for name in ("GONE.md", "nowhere", "gone.png") if name not in dead.stderr] == []
