#!/usr/bin/env python3
"""Search at play time: how much better an agent plays Connect Four when it looks ahead.

    python scripts/bench_search.py [--seeds 1..5] [--plies 0,2,4] [--positions 1000]

Trains the preset ``connect4`` on each seed, unless ``--data-dir`` holds the agents already. Each
plays 100 games against a search of two plies and 100 against one of four, as it learned (0 plies)
and with so many plies of its own; and its moves at random positions of ``--discs`` discs are held
against a perfect solver's (`connect4_solver`): the share of them that throw nothing away.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from connect4_solver import best_moves, random_positions
from numpy.typing import NDArray

from agentd.games.connect4 import ConnectFour
from agentd.games.negamax import Values, pick_best, search
from agentd.rl.frozen_copy import agent_folder, frozen_copy
from agentd.rl.lookahead import learned_values

RIVALS = {"two plies": "connect4-search", "four plies": "connect4-search4"}
AGENTD = (sys.executable, "-m", "agentd")
EPISODES = 100


def main() -> int:
    """Print one line an agent and number of plies, then the means."""
    asked = arguments()
    first, last = (int(part) for part in asked.seeds.split(".."))
    positions = random_positions(asked.positions, asked.discs)
    perfect = np.stack([best_moves(position) for position in positions])
    print(
        f"{len(positions)} positions of {asked.discs} discs; any legal move is a perfect one in "
        f"{chance(positions, perfect):.1%}"
    )
    agents = [f"connect4-{seed}" for seed in range(first, last + 1)]
    if not all((asked.data_dir / "agents" / agent).is_dir() for agent in agents):
        train(asked.data_dir, asked.seeds)
    rows = []
    for agent in agents:
        with frozen_copy(agent_folder(asked.data_dir, agent)) as copy:
            values = learned_values(copy)
        for plies in map(int, asked.plies.split(",")):
            wins = {
                rival: win_rate(asked.data_dir, agent, game, plies)
                for rival, game in RIVALS.items()
            }
            agrees = agreement(values, positions, perfect, plies)
            rows.append({"agent": agent, "plies": plies, **wins, "perfect": agrees})
            print(json.dumps(rows[-1]), flush=True)
    for plies in sorted({row["plies"] for row in rows}):
        of = [row for row in rows if row["plies"] == plies]
        print(
            f"{plies} plies: "
            + ", ".join(
                f"{name} {np.mean([row[name] for row in of]):.1%}" for name in (*RIVALS, "perfect")
            )
        )
    return 0


def train(data: Path, seeds: str) -> None:
    """Train the preset as a user would."""
    words = ("rl", "train", "--preset", "connect4", "--seeds", seeds, "--data-dir", str(data))
    subprocess.run([*AGENTD, *words], check=True, stdout=subprocess.DEVNULL)


def win_rate(data: Path, agent: str, game: str, plies: int) -> float:
    """The share of games that the agent wins; a draw is no win."""
    words = ("--data-dir", str(data), "--agent", agent, "--env", game, "--json")
    more = ("--episodes", str(EPISODES), "--seed", "1000000", "--search", str(plies))
    done = subprocess.run(
        [*AGENTD, "rl", "eval", *words, *more], check=True, capture_output=True, text=True
    )
    returns = json.loads(done.stdout.splitlines()[-1])["returns"]
    return float(np.mean(np.array(returns) > 0))


def chance(positions: NDArray[np.int8], perfect: NDArray[np.bool_]) -> float:
    """Return how often a legal move is perfect by chance."""
    legal = positions[:, : perfect.shape[1]] == 0
    return float((perfect.sum(axis=1) / legal.sum(axis=1)).mean())


def agreement(
    values: Values, positions: NDArray[np.int8], perfect: NDArray[np.bool_], plies: int
) -> float:
    """Return the share of ``positions`` where the agent's move is a perfect one."""
    game, rng, agrees = ConnectFour(1, np.random.default_rng(0)), np.random.default_rng(0), []
    for at in range(0, len(positions), 64):
        some = positions[at : at + 64]
        if plies:
            q = search(game, some, values, plies)
        else:
            legal = game.moves(some)
            q = np.where(legal, values(game.look(some), legal), -np.inf).astype(np.float32)
        moves = pick_best(rng, q)
        agrees.append(perfect[np.arange(at, at + len(some)), moves])
    return float(np.concatenate(agrees).mean())


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="1..5", help="FIRST..LAST")
    parser.add_argument("--plies", default="0,2,4")
    parser.add_argument("--positions", type=int, default=1000)
    parser.add_argument("--discs", type=int, default=18, help="of the positions")
    parser.add_argument("--data-dir", type=Path, default=Path("search-agents"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
