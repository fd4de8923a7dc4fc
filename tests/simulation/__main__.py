"""``python -m tests.simulation``: run seeds, tell each in a line; see ``scripts/soak --help``."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter

from tests.simulation.world import Outcome, simulate


def main() -> int:
    """Run the seeds that were asked for; return 1 where one has found something."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--simulate", action="store_true", help="the only thing that is done here")
    parser.add_argument("--seed", type=int, default=1, help="the first seed (1)")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, one by one (1)")
    parser.add_argument("--frames", type=int, default=20_000, help="answers of each seed (20000)")
    parser.add_argument("--durability", choices=("always", "1s", "os"), help="of the agent")
    parser.add_argument("--json", action="store_true", help="each seed as a line of JSON")
    asked = parser.parse_args()
    more = {} if asked.durability is None else {"durability": asked.durability}
    total, frames, seconds, failed = Counter[str](), 0, 0.0, []
    for seed in range(asked.seed, asked.seed + asked.seeds):
        outcome = simulate(seed, asked.frames, **more)
        total += outcome.faults
        frames, seconds = frames + outcome.frames, seconds + outcome.seconds
        print(json.dumps(vars(outcome)) if asked.json else _line(outcome), flush=True)
        if outcome.violation:
            failed.append(seed)
            words = "".join(f" --{name} {value}" for name, value in more.items())
            print(f"  {outcome.violation}", *outcome.past, sep="\n  ")
            print("  repeat it: ", end="")
            print(
                f"scripts/soak --simulate --seed {seed} --frames {asked.frames}{words}", flush=True
            )
    speed = frames / max(seconds, 1e-9)
    print(
        f"{asked.seeds} seeds, {frames:,} frames, {total.total():,} faults, {speed:,.0f} frames/s"
    )
    print(f"faults: {dict(total.most_common())}")
    if failed:
        print(f"failed: {failed}")
    return 1 if failed else 0


def _line(outcome: Outcome) -> str:
    facts = outcome.facts
    return (
        f"seed {outcome.seed}: {'FAILED' if outcome.violation else 'ok'},"
        f" {outcome.frames:,} frames,"
        f" {outcome.faults.total():,} faults, {facts['rows']:,} rows, {facts['pace']},"
        f" {facts['durability']}, {outcome.history[:16]}, {outcome.seconds:.1f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
