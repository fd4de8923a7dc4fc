"""``python -m agentd.cluster``: a relay whose learner is an actor of a Ray cluster.

A daemon starts it in the place of an agent's learner; the daemon itself never imports Ray.
"""

import argparse
import logging
import sys
from pathlib import Path

from agentd.blas import prepare_blas
from agentd.errors import AgentdError

prepare_blas()


def main() -> int:
    """Connect, relay until told to stop, return the exit code."""
    parser = argparse.ArgumentParser(prog="agentd.cluster", description=__doc__)
    parser.add_argument("--learner", required=True, metavar="ADDRESS")
    parser.add_argument("--rows-every", type=float, default=0.05)
    parser.add_argument("--weights-every", type=float)
    parser.add_argument("--agent-dir", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    from agentd.cluster.session import connect
    from agentd.cluster.shared_learner import RayCall
    from agentd.replicas.relay import open_control, run

    control = open_control()
    try:
        with connect(asked.learner or "auto", check=False) as cluster:
            return run(
                asked.agent_dir,
                lambda: RayCall(cluster),
                asked.rows_every,
                asked.weights_every,
                control,
            )
    except AgentdError as fault:
        logging.getLogger("agentd.cluster").error("%s", fault.message)
        control.send("failed", message=fault.message, code=int(fault.exit_code))
        return int(fault.exit_code)


if __name__ == "__main__":
    sys.exit(main())
