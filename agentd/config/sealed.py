"""An agent's own ``config.yaml``: YAML under a line with its checksum, so that a cut one shows."""

import hashlib
import re
from functools import lru_cache
from pathlib import Path

from agentd.config.convert import convert, dump_yaml, parse_layer
from agentd.config.records import AgentConfig
from agentd.engine import strictyaml
from agentd.engine.strictyaml import ConfigError
from agentd.errors import MissingInput

_SEAL = re.compile(rb"# sha256: ([0-9a-f]{64})[^\n]*\n")
_SEALED = "# sha256: {}, of all that follows; who edits it takes this line away\n"

_OLDER: dict[str, object] = {"average": None}
"""Values of the keys of ``dqn`` that a file of an older release lacks."""


def dump_agent_config(config: AgentConfig) -> bytes:
    """``config`` as the content of a ``config.yaml``."""
    text = dump_yaml(config)
    return (_SEALED.format(hashlib.sha256(text.encode()).hexdigest()) + text).encode()


def load_agent_config(path: Path) -> AgentConfig:
    """Read an agent's ``config.yaml``; one without a checksum, as older releases wrote it, as well.

    Raises MissingInput; ConfigError also where the checksum is another, or no key is left.
    """
    try:
        data = strictyaml.read_file(path)
    except FileNotFoundError:
        raise MissingInput(f"no configuration file {path}") from None
    seal = _SEAL.match(data)
    if seal is not None:
        got = hashlib.sha256(data[seal.end() :]).hexdigest()
        if got != (expected := seal[1].decode()):
            raise ConfigError(
                "was cut or changed since it was written",
                file=str(path),
                expected=f"sha256 {expected[:12]}…",
                got=f"{got[:12]}…",
                hint="a change that is meant takes the first line away",
            )
    return _read(data, str(path))


@lru_cache(maxsize=64)
def _read(data: bytes, path: str) -> AgentConfig:
    """Parse a file's content, or return what the same content gave before: YAML takes 10 ms.

    Every hello to an agent that is not in memory asks for it.
    """
    layer = parse_layer(data, path, source="file")
    if not layer.tree:
        raise ConfigError("was cut", file=path, expected="an agent's keys", got="none")
    if isinstance(dqn := layer.tree.get("dqn"), dict):
        layer.tree["dqn"] = _OLDER | dqn
    return convert(layer, AgentConfig)
