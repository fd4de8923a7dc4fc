"""What the commands of supervised training say, called in this process."""

from collections.abc import Callable

import pytest

from agentd.cli import main


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line; return its exit code and what it wrote to stdout and stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(list(arguments))
        told = capsys.readouterr()
        return int(code), told.out, told.err

    return call
