"""``agentd version``."""

from agentd import __version__
from agentd.cli.screen.options import JsonScreen
from agentd.protocol.codec import PROTOCOLS


def version(out: JsonScreen) -> None:
    """Print the version of agentd and of the wire protocol and checkpoint format it writes."""
    record = {"version": __version__, "protocol": list(PROTOCOLS), "checkpoint_format": 1}
    out.report(record, f"agentd {__version__}")
