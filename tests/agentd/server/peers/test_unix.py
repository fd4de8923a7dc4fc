"""The file of a unix socket: whose it may be, and that it goes."""

import asyncio
import os
import socket

import msgspec
import pytest

from agentd.auth import Tokens
from agentd.config import ServerConfig
from agentd.errors import ExitCode, Unavailable
from agentd.server import Server
from agentd.server.peers.unix import UnixSocket


def config(path) -> ServerConfig:
    return ServerConfig(port=0, http_port=None, unix=str(path))


async def test_a_live_daemon_keeps_its_socket(serve, tmp_path):
    path = tmp_path / "agentd.sock"
    await serve(config=config(path))

    second = Server(config(path), Tokens(), tmp_path / "second")
    with pytest.raises(ExceptionGroup) as caught:
        await second.run(lambda addresses: None)
    fault = caught.value.exceptions[0]
    assert isinstance(fault, Unavailable)
    assert fault.exit_code == ExitCode.UNAVAILABLE
    assert f"{path}: a daemon listens there already" in str(fault)
    _, writer = await asyncio.open_unix_connection(str(path))
    writer.close()


async def test_the_socket_goes_with_its_daemon_and_a_dead_one_is_replaced(serve, tmp_path):
    path = tmp_path / "agentd.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    house = await serve(config=config(path))
    _, writer = await asyncio.open_unix_connection(str(path))
    writer.close()
    await house.down()

    assert not path.exists()


def test_the_socket_of_a_successor_stays(tmp_path):
    path = tmp_path / "agentd.sock"
    first = UnixSocket(str(path))
    path.unlink()
    second = UnixSocket(str(path))
    first.remove()
    assert path.exists()
    second.remove()
    assert not path.exists()


@pytest.mark.parametrize("there", ["a file", "a folder", "a link"])
def test_what_is_no_socket_is_left_alone(tmp_path, there):
    path = tmp_path / "kept"
    match there:
        case "a file":
            path.write_text("precious")
        case "a folder":
            path.mkdir()
        case "a link":
            path.symlink_to(tmp_path / "nowhere")

    with pytest.raises(Unavailable, match=f"{path}: a file or folder is there"):
        UnixSocket(str(path))

    assert os.path.lexists(path)


@pytest.mark.parametrize(
    ("path", "told"), [("no/such/x.sock", "there is no folder"), ("y" * 200, "too long")]
)
def test_where_nothing_can_be_is_named(tmp_path, path, told):
    with pytest.raises(Unavailable, match=told) as caught:
        UnixSocket(str(tmp_path / path))
    assert str(tmp_path / path) in str(caught.value)


async def test_an_ipv6_address_is_printed_as_it_is_read(serve):
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("no IPv6 loopback here")
    house = await serve(config=msgspec.structs.replace(config(None), unix=None, host="::1"))
    assert house.host == "[::1]"
