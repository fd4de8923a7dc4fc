"""``python -m agentd.cluster``: a relay whose learner is an actor of a Ray cluster.

A daemon starts it in the place of an agent's learner; the daemon itself never imports Ray.
"""

import argparse
import logging
import sys

from agentd.blas import prepare_blas
from agentd.errors import AgentdError
from agentd.log_lines import log_to_stderr

prepare_blas()


def main() -> int:
    """Connect, relay until told to stop, return the exit code."""
    from agentd.cluster.session import connect
    from agentd.cluster.shared_learner import RayCall
    from agentd.replicas.relay import open_control, run, take_flags

    parser = argparse.ArgumentParser(prog="agentd.cluster", description=__doc__)
    take_flags(parser)
    asked = parser.parse_args()
    log_to_stderr()
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
