"""``python -m agentd.replicas relay|learner``: a learner that daemons of one machine share.

``relay`` is started by a daemon, in the place of each agent's learner; ``learner`` is what all
relays speak with, one process for all agents.
"""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from agentd.blas import prepare_blas
from agentd.errors import AgentdError
from agentd.log_lines import log_to_stderr

prepare_blas()


def main() -> int:
    """Run a relay or the shared learner; return its exit code."""
    from agentd.replicas.relay import take_flags

    parser = argparse.ArgumentParser(prog="agentd.replicas", description=__doc__)
    roles = parser.add_subparsers(dest="role", required=True)
    take_flags(roles.add_parser("relay"))
    learner = roles.add_parser("learner")
    learner.add_argument("--listen", type=Path, required=True, metavar="PATH")
    learner.add_argument("--data-dir", type=Path, required=True)
    learner.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    log_to_stderr()
    try:
        return _relay(asked) if asked.role == "relay" else asyncio.run(_learner(asked))
    except AgentdError as fault:
        logging.getLogger("agentd.replicas").error("%s", fault.message)
        return int(fault.exit_code)


def _relay(asked: argparse.Namespace) -> int:
    from agentd.replicas.relay import open_control, run
    from agentd.replicas.unix import UnixCall

    every = (asked.rows_every, asked.weights_every)
    return run(asked.agent_dir, lambda: UnixCall(asked.learner), *every, open_control())


async def _learner(asked: argparse.Namespace) -> int:
    from agentd.learner.priority import yield_to_others
    from agentd.replicas.shared_agents import SharedAgents
    from agentd.replicas.unix import serve

    yield_to_others()  # no game waits for the shared learner
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    agents = SharedAgents(asked.data_dir, asked.device)
    try:
        await serve(agents, asked.listen, stop)
    finally:
        await agents.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
