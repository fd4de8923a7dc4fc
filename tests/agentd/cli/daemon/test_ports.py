"""Who holds a port: from /proc where it can be told."""

import os
import socket
import sys
from pathlib import Path

import pytest

from agentd.cli.daemon.ports import Holder, find_holder


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
def test_our_own_listener_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        holder = find_holder(server.getsockname()[1])

    assert holder is not None
    assert holder.pid == os.getpid()
    assert "py" in holder.command


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
def test_an_ipv6_listener_is_found() -> None:
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with server:
        holder = find_holder(server.getsockname()[1])

    assert holder is not None


def test_a_free_port_has_no_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    assert find_holder(port) is None


def test_without_proc_nothing_is_known(tmp_path: Path) -> None:
    assert find_holder(7331, proc=tmp_path) is None


def test_long_command_lines_are_cut(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    line = "0: 0100007F:1CA3 00000000:0000 0A 0:0 0:0 0 0 0 4711 1\n"
    (tmp_path / "net/tcp").write_text("header\n" + line)
    (tmp_path / "12/fd").mkdir(parents=True)
    (tmp_path / "12/fd/3").symlink_to("socket:[4711]")
    (tmp_path / "12/cmdline").write_bytes(b"\0".join([b"python"] * 50))

    holder = find_holder(7331, proc=tmp_path)

    assert isinstance(holder, Holder)
    assert (holder.pid, len(holder.command)) == (12, 80)
    assert str(holder).startswith("pid 12 (python python")
