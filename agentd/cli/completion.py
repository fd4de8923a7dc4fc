"""``agentd completion``: scripts that hold every command and option, so that TAB starts nothing."""

from typing import Annotated, Literal, get_args

import typer

from agentd.cli.app import load
from agentd.cli.menu import COMMANDS, GROUPS, members
from agentd.cli.screen.options import Screen
from agentd.cli.sdk import languages

Shell = Literal["bash", "zsh", "fish"]
Words = dict[str, list[str]]

# The longest path of commands in a line decides what may follow; else files are offered.
_FIND = """
  local way="" try i
  for ((i = {first}; i < {here}; i++)); do
    try="${{way:+$way }}${{{words}[i]}}"
    [[ -n "$(_agentd_words "$try")" ]] && way=$try
  done"""
_BASH = """\
{words}
_agentd() {{{find}
  COMPREPLY=($(compgen -W "$(_agentd_words "$way")" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -o bashdefault -F _agentd agentd
"""
_ZSH = """\
#compdef agentd
{words}
_agentd() {{{find}
  compadd -- ${{=$(_agentd_words "$way")}}
  _files
}}
compdef _agentd agentd
"""
_INSTALL = {
    "bash": 'eval "$(agentd completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(agentd completion zsh)"   # in ~/.zshrc, behind compinit',
    "fish": "agentd completion fish | source   # in ~/.config/fish/config.fish",
}


def completion(
    out: Screen,
    shell: Annotated[Shell, typer.Argument(help="Which shell; its start file takes the script.")],
) -> None:
    """Print a script that completes agentd's commands and options in a shell."""
    out.say(f"# {_INSTALL[shell]}")
    out.say(script(shell, _words()).rstrip("\n"))


def script(shell: Shell, words: Words) -> str:
    """The script that completes ``words``, by path of commands, in ``shell``."""
    if shell == "fish":
        return "\n".join(_fish(words)) + "\n"
    cases = "\n".join(
        f'    "{path}") echo "{" ".join(listed)}" ;;' for path, listed in words.items()
    )
    table = f'_agentd_words() {{\n  case "$1" in\n{cases}\n  esac\n}}'
    if shell == "bash":
        find = _FIND.format(first=1, here="COMP_CWORD", words="COMP_WORDS")
        return _BASH.format(words=table, find=find)
    return _ZSH.format(words=table, find=_FIND.format(first=2, here="CURRENT", words="words"))


def _words() -> Words:
    """What may follow each path: the names of a group's commands, a command's options."""
    found = {group: [name for name, _ in members(group)] for group in GROUPS}
    found[""].append("--version")
    for path in COMMANDS:
        try:
            params = load(path).params
        except Exception:  # it needs a package that is not here
            params = []
        options = {text for each in params for text in each.opts if text.startswith("--")}
        hidden = {text for each in params if getattr(each, "hidden", False) for text in each.opts}
        found[path] = [*sorted(options - hidden), "--help"]
    found["completion"] = [*get_args(Shell), *found["completion"]]
    found["sdk"] = [*languages(), *found["sdk"]]
    return found


def _fish(words: Words) -> list[str]:
    """One line a path: a function of fish finds the path as the other shells' does."""
    lines = ["function _agentd_words", '  switch "$argv"']
    for path, listed in words.items():
        lines += [f'    case "{path}"', "      printf '%s\\n' " + " ".join(listed)]
    lines += ["  end", "end", "function _agentd"]
    lines += ["  set -l path", "  for word in (commandline -opc)[2..]"]
    lines += [
        "    set -l try $path $word",
        '    test -n "$(_agentd_words $try)"; and set path $try',
    ]
    lines += ["  end", "  _agentd_words $path", "end"]
    return [*lines, "complete -c agentd -a '(_agentd)'"]
