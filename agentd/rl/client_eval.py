"""Episodes of an agent that any client plays, in whatever language, against a copy of it."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agentd.errors import JobFailed, MissingInput
from agentd.interrupts import Interrupts
from agentd.rl.daemon import Daemon
from agentd.rl.frozen_copy import FrozenCopy
from agentd.rl.scores import Scores
from agentd.store import read_progress

ADDRESS = "{address}"
"""What becomes HOST:PORT in a client's command."""
_POLL_S, _SLOW_S, _STOP_S = 0.2, 30.0, 5.0


def play_client(
    copy: FrozenCopy,
    command: Sequence[str],
    episodes: int,
    tell: Callable[[str], None],
    flags: Sequence[str] = (),
) -> Scores:
    """Start a client on ``copy``, and its daemon; the returns of its first ``episodes`` episodes.

    The client may play in any role. It is stopped once enough have ended; of a client that ends, or
    is interrupted, before that those count that had. Raises MissingInput where it cannot be
    started, JobFailed where no episode ended.
    """
    output, interrupts = copy.data_dir / "client.log", Interrupts()
    with Daemon(copy.data_dir, flags=flags) as daemon:
        client = _start(command, f"{daemon.host}:{daemon.port}", output)
        began, told = time.monotonic(), False
        try:
            with interrupts.trapped():
                while client.poll() is None and not interrupts.seen:
                    daemon.check()
                    ended = len(_returns(copy.agent))
                    if ended >= episodes:
                        break
                    if not ended and not told and time.monotonic() - began > _SLOW_S:
                        told = True
                        tell(f"no episode of agent {copy.agent.name} has ended yet")
                    time.sleep(_POLL_S)
        finally:
            _stop(client)
    returns = _returns(copy.agent)
    if not returns:
        raise JobFailed(_nothing(copy, client, output))
    if len(returns) < episodes:
        tell(f"{len(returns)} of {episodes} episodes ended")
    return Scores(tuple(returns[:episodes]))


def _returns(agent: Path) -> list[float]:
    """Of every second at most 32 returns are kept, drawn at random."""
    found: list[float] = []
    for point in read_progress(agent):
        for part in (point.train, point.eval):
            found += part.sample if part else ()
    return found


def _start(command: Sequence[str], address: str, output: Path) -> subprocess.Popen[bytes]:
    words = [word.replace(ADDRESS, address) for word in command]
    with output.open("wb") as file:
        try:
            return subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        except OSError as fault:
            raise MissingInput(f"cannot start {words[0]}: {fault.strerror}") from None


def _stop(client: subprocess.Popen[bytes]) -> None:
    """End the client that we started, and what it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(client.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            client.wait(_STOP_S)
            return


def _nothing(copy: FrozenCopy, client: subprocess.Popen[bytes], output: Path) -> str:
    """Why no episode ended, in words."""
    others = {p.name for p in copy.agent.parent.glob("[!.]*")} - {copy.agent.name}
    if others:
        return f"the client played {', '.join(sorted(others))}, not agent {copy.agent.name}"
    lines = output.read_text(errors="replace").split("\n")
    words = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return (
        f"no episode of agent {copy.agent.name} ended; the client ended with code "
        f"{client.returncode}: {words}"
    )
