"""``python -m agentd.learner --agent-dir D``: started by the daemon, one per learning agent."""

import argparse
import sys
from pathlib import Path

from agentd.blas import prepare_blas
from agentd.learner.priority import be_nice, yield_to_others
from agentd.log_lines import log_to_stderr

be_nice()  # before the imports, which take a second of a processor: games are running
yield_to_others()
prepare_blas()  # one thread: a learner shares the machine with the games and the daemon


def main() -> int:
    """Run one learner; return its exit code."""
    parser = argparse.ArgumentParser(prog="agentd.learner", description=__doc__)
    parser.add_argument("--agent-dir", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    log_to_stderr()
    from agentd.learner.process import run
    from agentd.machine import fill_array_cache

    fill_array_cache()
    return run(arguments.agent_dir, arguments.device)


if __name__ == "__main__":
    sys.exit(main())
