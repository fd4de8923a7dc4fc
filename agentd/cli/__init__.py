"""The command line: the one place that prints, exits and turns errors into exit codes.

Modules here may import everything, games included; nothing imports them but ``agentd.__main__``.
Commands import what they need when they run, so that ``agentd version`` stays instant and so that
``agentd.cli.screen.threads`` can bound BLAS before NumPy loads.
"""

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command (``sys.argv`` when ``arguments`` is None) and return its exit code."""
    from agentd.cli.app import app
    from agentd.cli.boundary import run
    from agentd.cli.screen.terminal import Terminal

    return run(app, arguments, Terminal())
