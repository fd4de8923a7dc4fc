"""The lines that a demo ends with."""

import shlex
from pathlib import Path

from agentd.config import ServerConfig
from agentd.protocol.address import host_port

GONE = "the agent was in a temporary folder and is gone; `agentd demo --data-dir DIR` keeps it"


def next_lines(kept: str, data_dir: Path | None, again: str) -> str:
    """Where the agent is, in words, and what to do next; ``again`` is a command."""
    config = ServerConfig()
    page = f"http://{host_port(config.host, config.http_port or 0)}/"
    where = f" --data-dir {shlex.quote(str(data_dir))}" if data_dir is not None else ""
    return "\n".join(
        [
            f"\n{kept}. Next:",
            f"  {again}",
            f"  agentd serve{where}: games connect to {host_port(config.host, config.port)}, "
            f"and {page} shows them",
            "  agentd top: the same in the terminal",
        ]
    )
