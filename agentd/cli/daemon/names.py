"""Names that TAB completes: a running daemon's agents, and the checkpoints of one of them."""

from pathlib import Path

from agentd.cli.daemon.admin import ADDRESS, DaemonFlags
from agentd.client import ClientError
from agentd.errors import AgentdError

_VALUED = ("--connect", "--token-file", "--token", "--to-schema", "--add", "--drop", "--actions")
_UNNAMED = ("list",)


def names_for(line: str) -> list[str]:
    """What may follow ``line``, the text up to the cursor; nothing where no daemon answers."""
    _, command, places, options = _read(line)
    if command in ("", *_UNNAMED) or len(places) > (command == "load"):
        return []
    token_file, token = options.get("--token-file"), options.get("--token")
    daemon = DaemonFlags(
        options.get("--connect", ADDRESS), Path(token_file) if token_file else None, token
    )
    try:
        with daemon.open(wait=0.0) as admin:
            if places:
                checkpoints: list[str] = admin.info(places[0])["checkpoints"]
                return checkpoints
            return [each["agent"] for each in admin.agents()]
    except (AgentdError, ClientError, ValueError, OSError):
        return []


def _read(line: str) -> tuple[str, str, list[str], dict[str, str]]:
    """The group, the command, its places and its options, of all words but the one begun."""
    words = line.split()
    if words and not line[-1:].isspace():
        del words[-1]
    group, command, *rest = [*words[1:], "", ""][: max(2, len(words) - 1)]
    places, options, at = [], {}, 0
    while at < len(rest):
        name, equals, value = rest[at].partition("=")
        at += 1
        if name in _VALUED and not equals:
            value = rest[at] if at < len(rest) else ""
            at += 1
        if name.startswith("-"):
            options[name] = value
        elif name:
            places.append(name)
    return group, command if group == "agent" else "", places, options
