"""What a service manager hears, over a real datagram socket."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import uuid

import pytest

from agentd.cli.daemon.systemd import ServiceManager

READY, ALIVE, STOPPING = "READY=1", "WATCHDOG=1", "STOPPING=1"


@pytest.fixture
def manager(tmp_path):
    """A manager's socket, and the environment that it gives a service."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "notify"))
        bound.settimeout(20)
        yield bound, {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}


def heard(bound, wanted):
    """The first lines of what came up to and with the first ``wanted``."""
    lines = [""]
    while lines[-1] != wanted:
        lines.append(bound.recv(4096).decode().split("\n")[0])
    return lines[1:]


def test_a_daemon_tells_its_manager_of_its_life(manager, serve, monkeypatch):
    bound, environ = manager
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    daemon = serve()

    assert set(heard(bound, READY)) <= {READY, ALIVE}
    assert heard(bound, ALIVE) == heard(bound, ALIVE) == [ALIVE]
    daemon.process.send_signal(signal.SIGSTOP)  # a loop that stands still
    bound.settimeout(1.0)
    with pytest.raises(TimeoutError):
        heard(bound, "never said")
    bound.settimeout(20)
    daemon.process.send_signal(signal.SIGCONT)
    assert heard(bound, ALIVE) == [ALIVE]
    assert daemon.end()[0] == 0
    assert set(heard(bound, STOPPING)) <= {ALIVE, STOPPING}


async def _stop_at_once():
    return


async def _first_words(environ, bound):
    """What a manager with ``environ`` hears of a service that is ready and stops at once."""
    with ServiceManager(environ) as manager:
        manager.ready("listening")
        said = asyncio.create_task(manager.accompany(_stop_at_once))
        await asyncio.sleep(0.05)
        said.cancel()
        await asyncio.gather(said, return_exceptions=True)
    bound.setblocking(False)
    words = []
    with contextlib.suppress(BlockingIOError):
        while True:
            words += heard(bound, bound.recv(4096, socket.MSG_PEEK).decode().split("\n")[0])
    return words


async def test_no_watchdog_for_a_process_that_is_not_watched(manager):
    bound, environ = manager
    other = environ | {"WATCHDOG_PID": str(os.getpid() + 1)}

    assert await _first_words(other, bound) == [READY, STOPPING]
    assert ALIVE in await _first_words(environ | {"WATCHDOG_PID": str(os.getpid())}, bound)


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
async def test_an_abstract_address(manager):
    name = uuid.uuid4().hex
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(f"\0{name}")
        bound.settimeout(20)

        assert await _first_words({"NOTIFY_SOCKET": f"@{name}"}, bound) == [READY, STOPPING]


async def test_a_manager_that_is_gone_costs_a_warning(tmp_path, caplog):
    with ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}) as manager:
        manager.ready("listening")

    assert "does not hear" in caplog.text


async def test_without_a_manager_nothing_is_said(caplog):
    with ServiceManager({}) as manager:
        manager.ready("listening")

    assert caplog.text == ""
