"""``agentd chess uci``: the bot as an engine for any chess GUI."""

import sys
from collections.abc import Iterator
from contextlib import suppress

from agentd.chess.model.bots import find_model, open_bot
from agentd.chess.play.uci import UciSession
from agentd.cli.chess.options import Model
from agentd.cli.screen.options import Screen


def uci(
    out: Screen,
    model: Model = None,
) -> None:
    """Speak UCI on stdin and stdout: an engine for chess programs."""
    find_model(model)  # told before any GUI waits; the model itself is read when it is needed
    session = UciSession(out.say, open_bot, model)
    with suppress(BrokenPipeError):
        session.run(_lines())


def _lines() -> Iterator[str]:
    """Yield the lines of stdin, bytes that are no text replaced."""
    for line in sys.stdin.buffer:
        yield line.decode("utf-8", "replace")
