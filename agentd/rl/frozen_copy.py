"""A copy of an agent to be measured: it plays greedily, learns nothing, and holds nobody up.

The agent's own data directory is only read, so that a daemon may run on it meanwhile.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from agentd.config import load_agent_config
from agentd.errors import MissingInput
from agentd.store import (
    Exploring,
    copy_folder,
    keep_exploring,
    read_checkpoint,
    set_frozen,
    write_file,
)

_NAMES = ("config.yaml", "schema.json", "timing.json")


class FrozenCopy(NamedTuple):
    """A data directory with one agent; the environment steps behind its newest checkpoint."""

    data_dir: Path
    agent: Path
    checkpoint: str
    steps: int


def agent_folder(data_dir: Path, agent: str) -> Path:
    """Where an agent is kept. Raises MissingInput, naming those that are there."""
    folder = data_dir / "agents" / agent
    if not agent or "/" in agent or agent.startswith(".") or not folder.is_dir():
        known = sorted(p.name for p in (data_dir / "agents").glob("[!.]*") if p.is_dir())
        hint = f"there are {', '.join(known)}" if known else "no agent is kept there"
        raise MissingInput(f"no agent {agent!r} in {data_dir}", hint=hint)
    return folder


@contextmanager
def frozen_copy(source: Path) -> Iterator[FrozenCopy]:
    """Copy the agent in the folder ``source`` with its newest checkpoint; gone after the block.

    Raises MissingInput where it has none, ConfigError, NoValidCheckpoint, StorageError.
    """
    found = read_checkpoint(source / "checkpoints")
    if found is None:
        hint = f"`agentd agent save {source.name}` writes one of a running daemon"
        raise MissingInput(f"agent {source.name} has no checkpoint yet", hint=hint)
    learns = load_agent_config(source / "config.yaml").learner not in ("none", "supervised")
    with tempfile.TemporaryDirectory(prefix="agentd-", ignore_cleanup_errors=True) as place:
        copy = Path(place) / "agents" / source.name
        copy_folder(source / "checkpoints" / found.name, copy / "checkpoints" / found.name)
        for name in _NAMES:
            if (source / name).is_file():
                write_file(copy / name, (source / name).read_bytes())
        set_frozen(copy, True)
        if learns:
            keep_exploring(copy, Exploring(0.0))
        steps = int(found.facts.get("counters", {}).get("env_steps", 0))
        yield FrozenCopy(Path(place), copy, found.name, steps)
