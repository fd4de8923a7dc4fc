"""TAB completes every command and option, with a script that starts nothing."""

import shutil
import subprocess

import pytest

from agentd.cli.completion import _words, script
from agentd.cli.menu import COMMANDS, GROUPS


@pytest.fixture(scope="module")
def words():
    return _words()


@pytest.fixture(scope="module")
def bash_script(words):
    return script("bash", words)


def completed(script: str, *words: str) -> list[str]:
    code = f'{script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _agentd; echo "${{COMPREPLY[*]}}"'
    command = ["bash", "-c", code, "bash", "agentd", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_commands_groups_and_options(bash_script):
    top = completed(bash_script, "")
    assert {path for path in COMMANDS if " " not in path} <= {*top}
    assert {group for group in GROUPS if group} <= {*top}
    assert completed(bash_script, "rl", "tr") == ["train"]
    assert completed(bash_script, "rl", "train", "--prese") == ["--preset"]
    assert completed(bash_script, "serve", "--set", "limits.window=2", "--po") == ["--port"]
    assert completed(bash_script, "completion", "") >= ["bash"]
    assert "--worker" not in completed(bash_script, "serve", "--w")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_it_reads(words, shell):
    text = script(shell, words)

    assert "chess uci" in text
    if shutil.which(shell) is not None:
        checked = subprocess.run(
            [shell, "-n", "/dev/stdin"], input=text, capture_output=True, text=True
        )
        assert (checked.returncode, checked.stderr) == (0, "")


def test_the_command_prints_the_script_behind_a_comment(run, bash_script):
    done = run("completion", "bash")

    assert done.returncode == 0
    assert done.stdout.startswith("# ")
    assert done.stdout.endswith(bash_script)


def test_another_shell_is_refused_by_name(call):
    done = call("completion", "tcsh")
    assert done.returncode == 2
    assert "'bash', 'zsh', 'fish'" in done.stderr


def test_version_is_an_option_too(run, call):
    assert run("--version").stdout == call("version").stdout
