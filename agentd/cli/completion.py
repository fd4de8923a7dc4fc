"""``agentd completion``: scripts that hold every command and option, so that TAB starts nothing.

Only where the name of an agent is wanted they ask the daemon for what there is.
"""

from typing import Annotated, Literal, get_args

import typer

from agentd.cli.app import load
from agentd.cli.daemon.names import names_for
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
  local here="${{COMP_WORDS[COMP_CWORD]}}" named=""
  if [[ $way == "agent "* && $here != -* ]]; then
    named=$(agentd completion bash --line "${{COMP_LINE:0:COMP_POINT}}" 2>/dev/null)
  fi
  COMPREPLY=($(compgen -W "${{named:-$(_agentd_words "$way")}}" -- "$here"))
}}
complete -o default -o bashdefault -F _agentd agentd
"""
_ZSH = """\
#compdef agentd
{words}
_agentd() {{{find}
  local named=""
  if [[ $way == "agent "* && ${{words[CURRENT]}} != -* ]]; then
    named=$(agentd completion zsh --line "${{(j: :)words[1,CURRENT-1]}} " 2>/dev/null)
  fi
  [[ -n $named ]] || named=$(_agentd_words "$way")
  compadd -- ${{=named}}
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
    line: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Print a script that completes agentd's commands and options in a shell."""
    if line is not None:  # the script itself asks, behind a command that takes an agent's name
        for name in names_for(line):
            out.say(name)
        return
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
    lines += ["  end", "  _agentd_words $path"]
    lines += ['  string match -q "agent *" -- "$path"']
    lines += ["  and agentd completion fish --line (commandline -cp | string collect) 2>/dev/null"]
    lines += ["end"]
    return [*lines, "complete -c agentd -a '(_agentd)'"]
