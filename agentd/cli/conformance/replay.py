"""``agentd replay``: a recorded session once more."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from agentd.cli.screen.options import JsonScreen
from agentd.client import Client
from agentd.client.address import Address
from agentd.errors import JobFailed, UsageError
from agentd.protocol.messages import Create
from agentd.recording.file import BadRecording, SessionFile, read_session
from agentd.recording.replay import ReplayResult, SessionReplay
from agentd.rl.daemon import Daemon


def replay(
    out: JsonScreen,
    file: Annotated[Path, typer.Argument(help="A file of `serve --record`.", show_default=False)],
    connect: Annotated[
        str | None,
        typer.Option(
            metavar="H:P",
            help="A daemon's game port.",
            show_default="a daemon of its own, with the recorded agent's configuration",
        ),
    ] = None,
    agent: Annotated[
        str | None, typer.Option(help="Play it with this agent.", show_default="the recorded one")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A value of the agent's, e.g. seed=2."),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compare the versions of the weights as well.")
    ] = False,
) -> None:
    """Say a recorded session's frames again, and compare the answers.

    The first answer that is another one ends it with exit code 1. A paced agent with the recorded
    seed answers alike, bit for bit.
    """
    recorded = read_session(file)
    if connect is None:
        result = _replay_alone(recorded, agent, settings or (), exact)
    elif settings:
        raise UsageError("--set is for a daemon of our own: leave out --connect")
    else:
        result = _replay(recorded, Address.parse(connect), agent, exact)
    _report(out, recorded, result)
    if result.difference is not None:
        raise JobFailed("the replay differs from the recording")


def _replay_alone(
    recorded: SessionFile, agent: str | None, settings: Sequence[str], exact: bool
) -> ReplayResult:
    """Replay against a daemon of our own with the recorded agent's configuration."""
    folder = tempfile.TemporaryDirectory(prefix="agentd-replay-")
    with folder as name, Daemon(Path(name)) as daemon:
        _create(recorded, daemon, agent, settings)
        return _replay(recorded, Address.parse((daemon.host, daemon.port)), agent, exact)


def _replay(recorded: SessionFile, place: Address, agent: str | None, exact: bool) -> ReplayResult:
    address = (place.host, place.port)
    return SessionReplay(recorded, address, agent=agent, token=place.token, exact=exact).run()


def _create(
    recorded: SessionFile, daemon: Daemon, agent: str | None, settings: Sequence[str]
) -> None:
    """Make the recorded agent in a daemon that has none. Raises BadRecording, UsageError."""
    config = recorded.facts.get("config")
    if not isinstance(config, dict):
        if recorded.facts.get("role") == "admin":
            return
        raise BadRecording(f"{recorded.path}: no agent's configuration is in it", hint="--connect")
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting}: want KEY=VALUE, as in --set seed=2")
        _put(config, key.split("."), msgspec.yaml.decode(value))
    name = agent or str(recorded.facts.get("agent"))
    with Client.connect((daemon.host, daemon.port), role="admin") as admin:
        admin.operate(Create(agent=name, config=config))


def _put(config: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        config = config.setdefault(key, {})
    config[path[-1]] = value


def _report(out: Any, recorded: SessionFile, result: ReplayResult) -> None:
    found = result.difference
    record = {
        "file": str(recorded.path),
        "equal": found is None,
        "frames_sent": result.sent,
        "answers_equal": result.compared,
        "difference": None if found is None else found._asdict(),
        "versions_differ_from_seq": result.versions_differ_from,
        "is_whole": result.is_whole,
    }
    lines = [f"{result.sent} frames said again, {result.compared} answers alike"]
    if found is not None:
        where = "" if found.seq is None else f" of seq {found.seq}"
        lines += [f"first difference: {found.field}{where}"]
        lines += [f"    recorded  {found.recorded}", f"    replayed  {found.replayed}"]
        if version := recorded.facts.get("version"):
            lines.append(
                f"the recorded agent had learned before: its weights were number {version}"
            )
    if result.versions_differ_from is not None:
        lines.append(f"other weights answered from seq {result.versions_differ_from} on")
    if not result.is_whole:
        lines.append("the recording was cut short")
    out.report(record, "\n".join(lines))
