"""``agentd demo --web``: a game in a page, learned at 60 frames a second while a person watches.

The page is the game: it connects to the daemon by WebSocket, plays, draws, and lets the person take
the paddle. This process starts the daemon, serves the page, and tells it how much is learned.
"""

import os
import sys
import time
import webbrowser
from collections.abc import Mapping
from typing import Any

from agentd.cli.rl.demo_live import Asked
from agentd.cli.rl.train import kept_or_temporary
from agentd.cli.rl.what_next import GONE, next_lines
from agentd.cli.screen.terminal import Terminal
from agentd.client import Client
from agentd.client.errors import OperationRefused
from agentd.interrupts import Interrupts
from agentd.protocol.errors import Code
from agentd.rl.daemon import Daemon
from agentd.rl.page.server import PageServer
from agentd.rl.run import known, require_learning

AGENT = "demo-rally"
LOOK_S = 0.5  # between looks at the agent
WAIT_S = 0.05
CONFIG: dict[str, Any] = {
    # A paddle that trembles goes nowhere: what explores is held for a while.
    "exploration": {"steps": 3_000, "end": 0.02, "hold": 8},
}


def show_page(out: Terminal, asked: Asked) -> None:
    """Serve the page until Ctrl-C or the time is over; print what came of it.

    Raises JobFailed when the daemon comes to a bad end, and OSError when no port can be had.
    """
    interrupts = Interrupts()
    flags = ["--device", asked.device] if asked.device else []
    with (
        kept_or_temporary(asked.data_dir) as folder,
        interrupts.trapped(),
        Daemon(folder, flags=flags) as daemon,
        Client.connect((daemon.host, daemon.port), role="admin") as admin,
        PageServer(daemon.port, {"port": daemon.port, "agent": AGENT}) as page,
    ):
        create(admin, asked.seed or 0, out)
        announce(page.url, out)
        began = looked = time.monotonic()
        while not interrupts.seen:
            time.sleep(WAIT_S)
            now = time.monotonic()
            if now - looked >= LOOK_S:
                looked = now
                daemon.check()
                page.facts = {**page.facts, **facts_of(admin)}
            if asked.seconds is not None and now - began >= asked.seconds:
                break
        elapsed_s = time.monotonic() - began
        facts = facts_of(admin)
        checkpoint = admin.save(AGENT).checkpoint if facts["rows"] else None
        record = record_of(facts, elapsed_s, checkpoint)
    out.report(record, sum_up(record))
    if not out.json:
        kept = GONE if asked.data_dir is None else f"the agent is kept in {asked.data_dir}"
        out.note(next_lines(kept, asked.data_dir, "agentd demo --play"))


def create(admin: Client, seed: int, out: Terminal) -> None:
    """Create the agent, or say that it goes on."""
    try:
        admin.create(AGENT, CONFIG | {"seed": seed})
    except OperationRefused as refusal:
        if refusal.code != Code.AGENT_EXISTS:
            raise
        out.note(f"agent {AGENT} is there already: it goes on learning")


def announce(url: str, out: Terminal) -> None:
    """Say where the page is, and open it where a person would see that."""
    line = f"the game is at {url}"
    (out.complain if out.json or out.quiet else out.say)(line)
    out.note("watch it learn, take the paddle with the arrow keys; Ctrl-C ends it")
    screen = sys.platform in ("win32", "darwin") or {"DISPLAY", "WAYLAND_DISPLAY"} & {*os.environ}
    if out.live and screen:
        webbrowser.open(url)


def facts_of(admin: Client) -> dict[str, Any]:
    """What the page shows of the agent. Raises TrainingDiverged and JobFailed."""
    stats = admin.stats().agents.get(AGENT, {})
    require_learning(AGENT, stats)
    updates_per_row = known(stats, "updates_per_row")
    return {
        "rows": int(stats.get("env_steps") or 0),
        "updates": int(stats.get("updates") or 0),
        "updates_per_row": updates_per_row if updates_per_row == updates_per_row else None,
        "epsilon": stats.get("epsilon"),
        "episodes": int(stats.get("episodes") or 0),
        "return_mean": stats.get("return_mean"),
    }


def record_of(
    facts: Mapping[str, Any], elapsed_s: float, checkpoint: str | None
) -> dict[str, Any]:
    """The JSON line that ends the command."""
    names = ("rows", "updates", "episodes", "return_mean")
    counted = {name: facts.get(name) for name in names}
    return {"game": "rally", "seconds": round(elapsed_s, 1), **counted, "checkpoint": checkpoint}


def sum_up(record: Mapping[str, Any]) -> str:
    """What came of it, in a line or two."""
    if not record["rows"]:
        return "no page has played"
    mean = record["return_mean"]
    lately = "" if mean is None else f"; mean return lately {mean:.2f}"
    each = record["updates"] / record["rows"]
    return (
        f"{record['rows']:,} frames in {record['episodes']:,} rallies{lately}\n"
        f"{record['updates']:,} updates, {each:.1f} a frame, while the game went on"
    )
