"""The picture of the demo: what a terminal showed last, taken from what was written to it."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
ERASE = "\r\x1b[1A\x1b[2K\x1b[1A\x1b[2K"


@pytest.fixture
def picture(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("demo_picture")


def test_the_last_picture_and_the_summary_are_shown(picture: ModuleType) -> None:
    written = (
        f"4 clients\n╭ first ╮\n╰───────╯{ERASE}╭ last ╮\n╰──────╯\n{ERASE}a curve\n\nsolved\n"
    )

    assert picture.last_screen(written) == "4 clients\n╭ last ╮\n╰──────╯\nsolved"


def test_a_command_is_recorded_as_a_terminal_shows_it(picture: ModuleType) -> None:
    code = "import os, sys; print(sys.stdout.isatty(), os.get_terminal_size().columns)"

    said = picture.record([sys.executable, "-c", code])

    assert said == f"True {picture.COLUMNS}\n"


def test_the_picture_in_the_readme_is_of_a_run_that_solved_it() -> None:
    svg = (ROOT / "docs/images/demo.svg").read_text()

    assert "solved:" in svg.replace("&#160;", " ")
