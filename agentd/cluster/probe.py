"""What a node says of itself, asked before any work is given to it.

Ray sends this module by value, so that it runs on a node whose agentd is another one or missing:
it may import nothing of agentd but inside ``node_facts``, and only what may fail.
"""

import os
import platform
from typing import Any


def node_facts() -> dict[str, Any]:
    """Return what this node is and runs.

    agentd    version of the package, None where it cannot be imported
    formats   numbers of what is written and spoken, by name; empty where they cannot be read
    python    version of the interpreter
    nice      niceness at which Ray runs its workers
    token     whether Ray asks for a token here
    """
    facts: dict[str, Any] = {
        "agentd": None,
        "formats": {},
        "python": platform.python_version(),
        "nice": os.nice(0),
        "token": os.environ.get("RAY_AUTH_MODE", "").lower() == "token",
    }
    try:
        import agentd

        facts["agentd"] = agentd.__version__
        from agentd.games.chess.data import shards
        from agentd.protocol.codec import PROTOCOLS
        from agentd.store import manifest
    except Exception:  # whatever is wrong there, it is another agentd than ours
        return facts
    facts["formats"] = {
        "checkpoint": manifest.FORMAT,
        "shards": shards.FORMAT,
        "protocol": max(PROTOCOLS),
    }
    return facts
