#!/usr/bin/env python3
"""The dial of strength: 25, 50 and 75 % of the points against a fixed rival, in three games.

    python scripts/bench_dial.py [--data-dir DIR] [--games connect4,duel,chess] [--seeds 1..5]

Trains the presets ``connect4`` and ``duel`` on each seed, unless ``--data-dir`` holds the agents
already; chess is played by the model that ships. `agentd rl calibrate` and `agentd chess calibrate`
then find a level for each share, play 400 games there that the search has not seen, and this prints
how far each is off. Connect Four looks four moves ahead, against a search of four.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

AGENTD = (sys.executable, "-m", "agentd")
WANTED = (25, 50, 75)
CLOSE = 7.0  # points
RIVALS = {
    "connect4": ("--env", "connect4-search4", "--search", "4"),
    "duel": ("--env", "duel-script"),
    "chess": ("--against", "material", "--strength", "nodes=64", "--limit", "nodes=64"),
}


def main() -> int:
    """Print one line for each agent and share; 1 where one is off by more than it may be."""
    asked = arguments()
    first, last = (int(part) for part in asked.seeds.split(".."))
    far = 0
    for game in asked.games.split(","):
        agents = [""] if game == "chess" else [f"{game}-{seed}" for seed in range(first, last + 1)]
        if not all((asked.data_dir / "agents" / agent).is_dir() for agent in agents if agent):
            words = ("--preset", game, "--seeds", asked.seeds, "--data-dir", str(asked.data_dir))
            subprocess.run([*AGENTD, "rl", "train", *words], check=True, stdout=subprocess.DEVNULL)
        for agent in agents:
            for mark in calibrate(game, agent, asked.data_dir):
                off = mark["won"] - mark["want"]
                far += abs(off) > CLOSE
                row = {"game": game, "agent": agent or "shipped", **mark, "off": round(off, 2)}
                print(json.dumps(row), flush=True)
    return int(far > 0)


def calibrate(game: str, agent: str, data: Path) -> list[dict[str, Any]]:
    """Return the marks that the command reports; it exits 1 where no level wins a share."""
    words = ["chess" if game == "chess" else "rl", "calibrate", *RIVALS[game], "--json"]
    words += [word for share in WANTED for word in ("--want", str(share))]
    if agent:
        words += ["--data-dir", str(data), "--agent", agent]
    done = subprocess.run([*AGENTD, *words], stdout=subprocess.PIPE, check=False)
    marks: list[dict[str, Any]] = json.loads(done.stdout)["marks"]
    return marks


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data-dir", type=Path, default=Path("runs/dial"))
    parser.add_argument("--games", default="connect4,duel,chess")
    parser.add_argument("--seeds", default="1..5")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
