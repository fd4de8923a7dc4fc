"""``python -m agentd.learner --agent-dir D``: started by the daemon, one per learning agent."""

import argparse
import logging
import os
import sys
from pathlib import Path

# Before anything imports NumPy: a learner shares the machine with the games and the daemon.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


def main() -> int:
    """Run one learner; return its exit code."""
    parser = argparse.ArgumentParser(prog="agentd.learner", description=__doc__)
    parser.add_argument("--agent-dir", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    from agentd.learner.process import run

    return run(arguments.agent_dir, arguments.device)


if __name__ == "__main__":
    sys.exit(main())
