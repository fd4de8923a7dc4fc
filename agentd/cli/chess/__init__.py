"""The chess commands: from a lichess dump to a bot that plays.

They all need python-chess, an optional package, so this file looks for it before they import it.
"""

from importlib.util import find_spec

from agentd.errors import UsageError
from agentd.extras import install_hint

if find_spec("chess") is None:
    raise UsageError("chess needs python-chess, which is not installed", hint=install_hint("chess"))
