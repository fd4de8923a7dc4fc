"""The JavaScript client plays against a real daemon, over TCP and over WebSocket."""

from collections.abc import Callable
from typing import Any

import pytest

from agentd.client import Client

Node = Callable[..., Any]

pytestmark = pytest.mark.parametrize("scheme", ["tcp", "ws"])


def rows_of(port: int, agent: str) -> int:
    """How many rows the daemon has taken for ``agent``."""
    with Client.connect(("127.0.0.1", port), role="admin") as admin:
        return int(admin.stats().agents[agent]["env_steps"])


def test_rows_of_one_stream_are_answered(node: Node, port: int, scheme: str) -> None:
    assert node("session.mjs", "rows", scheme, port) == 2


def test_streams_and_branches_go_side_by_side(node: Node, port: int, scheme: str) -> None:
    assert node("session.mjs", "streams", scheme, port) == 1


def test_a_frame_loop_never_waits(node: Node, port: int, scheme: str) -> None:
    assert node("session.mjs", "frames", scheme, port) == {"sent": 200, "full": True}


def test_a_cut_connection_is_resumed_and_nothing_learned_twice(
    node: Node, port: int, scheme: str
) -> None:
    done = node("session.mjs", "resume", scheme, port)

    assert done == {"steps": 52, "reconnects": 4, "resumed": True}
    assert rows_of(port, f"resume-{scheme}") == 52


def test_a_lost_session_is_told_once(node: Node, port: int, scheme: str) -> None:
    if scheme == "ws":
        pytest.skip("what is told depends on no carrier")
    assert node("session.mjs", "lost", scheme, port) == 1


def test_refusals_carry_their_reasons(node: Node, port: int, scheme: str) -> None:
    assert node("session.mjs", "refusals", scheme, port) is True
