"""The table of commands tells what typer would tell, and loads only what is called."""

import subprocess
import sys

import pytest
import typer
from typer.core import TyperGroup

from agentd.cli import main
from agentd.cli.app import CommandGroup, load
from agentd.cli.menu import COMMANDS, GROUPS, SECTIONS, find_help, help_text, shorten


@pytest.mark.parametrize("path", COMMANDS)
def test_help_in_the_table_is_the_first_sentence_of_the_docstring(path: str) -> None:
    assert load(path).get_short_help_str(1000) == COMMANDS[path].help


@pytest.mark.parametrize("columns", [40, 61, 80, 200])
@pytest.mark.parametrize("group", GROUPS)
def test_group_help_is_what_typer_would_draw(
    group: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    command = CommandGroup(group)
    context = typer.Context(
        command,
        info_name=f"agentd {group}".strip(),
        **command.context_settings,
    )

    told = help_text(group).replace("  --version   Print the version and exit.\n", "")
    drawn = TyperGroup.get_help(command, context)
    if not group:  # the same lines, in sections
        lines = [line for line in told.splitlines() if line.rstrip(":") not in SECTIONS and line]
        typers = [line for line in drawn.splitlines() if line not in ("Commands:", "")]
        assert sorted(lines) == sorted(typers)
    else:
        assert told == drawn
    assert ("--version" in help_text(group)) == (group == "")


@pytest.mark.parametrize(("text", "width"), [("Do it now.", 10), ("Do it now.", 9), ("Abc.", 3)])
def test_long_help_ends_in_three_dots_where_typer_ends_it(text: str, width: int) -> None:
    command = typer.core.TyperCommand("x", help=text)

    assert shorten(text, width) == command.get_short_help_str(width)


@pytest.mark.parametrize(
    "words", [[], ["serve", "--help"], ["--help", "rl"], ["nonsense", "-h"], ["", "--help"]]
)
def test_only_the_help_of_a_group_is_found_in_the_table(words: list[str]) -> None:
    assert find_help(words) is None


@pytest.mark.parametrize("words", [["--help"], ["rl", "-h"]])
def test_group_help_loads_neither_typer_nor_numpy_nor_commands(words: list[str]) -> None:
    code = f"""import sys
from agentd.cli import main
assert main({words}) == 0
heavy = ("typer", "numpy", "msgspec", "agentd.engine", "agentd.cli.daemon", "agentd.cli.rl")
sys.exit(" ".join(name for name in sys.modules if name.startswith(heavy)))"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stderr == "\n", done.stderr
    assert done.stdout.startswith("Usage: agentd")


def test_a_command_loads_no_other() -> None:
    code = """import sys
from agentd.cli import main
assert main(["version"]) == 0
sys.exit(" ".join(name for name in sys.modules if name.startswith(("numpy", "agentd.engine"))))"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stderr == "\n", done.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["serv"], "No such command 'serv'. Did you mean 'serve'?; see agentd --help"),
        (["rl", "tran"], "No such command 'tran'. Did you mean 'train'?; see agentd rl --help"),
        (["rl", "--nope"], "No such option: --nope; see agentd rl --help"),
    ],
)
def test_wrong_command_is_told_with_what_is_near(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2

    assert capsys.readouterr().err == f"agentd: {complaint}\n"


@pytest.mark.parametrize("words", [[], ["rl"]])
def test_a_group_alone_tells_its_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2

    assert capsys.readouterr().err == help_text(" ".join(words)) + "\n"
