"""Over WebSocket a peer meets the limits, deadlines and counters that it meets over TCP (R13)."""

import asyncio
import ssl

import msgspec
import numpy as np
import pytest

from agentd.auth import Grant, Tokens
from agentd.config import TlsConfig, WebConfig
from agentd.protocol import messages as m
from agentd.protocol.codec import encode
from agentd.protocol.websocket import Opcode

from ..conftest import server_config

FIRST, MID = 0, 1
CARRIERS = pytest.mark.parametrize("web", [False, True], ids=["tcp", "websocket"])


async def ask(house, first: str = "GET / HTTP/1.1", **headers: str) -> tuple[int, str]:
    """Status and body of a plain request on the game port."""
    reader, writer = await asyncio.open_connection(house.host, house.port)
    lines = [first, "Host: localhost", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    async with asyncio.timeout(10):
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body


async def swallows(peer, frames: int) -> bool:
    """Whether so many frames of 64 KB each can be sent without reading an answer."""
    try:
        async with asyncio.timeout(20):
            for n in range(frames):
                await peer.say(peer.frame([MID if n else FIRST] * 4096))
    except (ConnectionError, TimeoutError):
        return False
    return True


async def close_of(peer) -> tuple[int, str]:
    """Code and reason of the server's close, after what it says before."""
    while await peer.hear() is not None:
        pass
    payload = peer.reader.close_payload
    return int.from_bytes(payload[:2]), payload[2:].decode()


@pytest.fixture
async def certificate(tmp_path):
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    assert await made.wait() == 0
    return str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")


# -- limits and deadlines --------------------------------------------------------------------------


@CARRIERS
async def test_silence_is_told_and_the_session_waits(serve, web):
    house = await serve(heartbeat_s=0.2)
    peer = await house.peer(web=web)
    welcome = await peer.hello()
    heard = []
    while (message := await peer.hear()) is not None:
        heard.append(type(message))
    assert heard[-2:] == [m.Error, m.Goodbye]
    if web:
        assert peer.reader.close_payload == b"\x03\xe9idle"
    again = await house.peer(web=not web)
    assert (await again.hello(resume=welcome.session)).resumed


async def test_a_websocket_ping_is_a_sign_of_life(serve):
    house = await serve(heartbeat_s=0.3)
    peer = await house.peer(web=True)
    await peer.hello()
    for n in range(15):
        peer.writer.send(Opcode.PING, bytes([n]))
        await asyncio.sleep(0.1)
    act = await peer.step([FIRST])
    while isinstance(act, m.Ping):
        act = await peer.hear()
    assert isinstance(act, m.ActReply)
    assert peer.reader.pongs == [bytes([n]) for n in range(15)]


@CARRIERS
async def test_a_frame_that_is_begun_must_be_finished(serve, web):
    house = await serve(frame_s=0.4)
    peer = await house.peer(web=web)
    await peer.hello()
    assert isinstance(await peer.step([FIRST]), m.ActReply)
    frame = encode(peer.frame([MID]))
    if web:  # an empty first fragment, and a header that dribbles
        peer.writer.send(Opcode.BINARY, fin=False)
        peer.writer.writer.write(b"\x00")
    else:
        peer.writer.write(frame[:1])
    error = await peer.hear()
    assert isinstance(error, m.Error)
    assert (error.code, error.message) == ("IDLE_TIMEOUT", "a frame was begun and not finished")


@CARRIERS
async def test_what_stood_unfinished_and_is_finished_counts_no_more(serve, web):
    house = await serve(frame_s=0.5)
    peer = await house.peer(web=web)
    await peer.hello()
    assert isinstance(await peer.step([FIRST]), m.ActReply)
    for _ in range(4):  # each in halves, half of frame_s apart: a second in all
        frame = encode(peer.frame([MID]))
        if web:
            peer.writer.send(Opcode.BINARY, frame[4:20], fin=False)
        else:
            peer.writer.write(frame[:20])
        await asyncio.sleep(0.25)
        if web:
            peer.writer.send(Opcode.CONTINUATION, frame[20:])
        else:
            peer.writer.write(frame[20:])
        assert isinstance(await peer.hear(), m.ActReply)


@CARRIERS
async def test_who_never_reads_is_held_back_and_cut(serve, web):
    house = await serve(slow_reader_s=0.3, write_buffer_bytes=4096, max_rows=4096, window=4)
    peer = await house.peer(web=web, limit=4096)
    await peer.hello(streams=4096, explain=True)
    assert not await swallows(peer, 400)
    for _ in range(200):
        if not house.server.connections:
            break
        await asyncio.sleep(0.05)
    assert not house.server.connections
    assert house.server.connections.refusals == 1


@CARRIERS
async def test_a_window_is_kept(serve, web):
    house = await serve(window=2)
    peer = await house.peer(web=web)
    await peer.hello()
    agent = house.server.registry.loaded["a"]
    most = 0
    take, take_known = agent.take, agent.take_known

    def counted(call):
        def count(session, *rest):
            nonlocal most
            call(session, *rest)
            most = max(most, len(session.pending))

        return count

    agent.take, agent.take_known = counted(take), counted(take_known)
    await peer.say(*(peer.frame([MID if n else FIRST] * 4) for n in range(40)))
    answers = [await peer.hear() for _ in range(40)]
    assert [answer.seq for answer in answers] == [*range(1, 41)]
    assert most == 2


async def test_steps_of_a_known_layout_are_not_decoded_over_websocket_either(serve, monkeypatch):
    house = await serve()
    peer = await house.peer(web=True)
    await peer.hello()
    for kind in (FIRST, MID, MID):
        assert isinstance(await peer.step([kind] * 4, np.ones((4, 4))), m.ActReply)
    decoded = []
    monkeypatch.setattr(
        "agentd.protocol.connection.decode_client", lambda *args: decoded.append(args)
    )
    for _ in range(5):
        assert isinstance(await peer.step([MID] * 4, np.ones((4, 4))), m.ActReply)
    assert decoded == []


# -- the end ---------------------------------------------------------------------------------------


async def test_a_draining_server_says_goodbye_and_closes(serve):
    house = await serve()
    peer, late = await house.peer(web=True), await house.peer()
    await peer.hello()
    late.writer.write(b"GET / HT")
    while len(house.server.connections) < 2:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    house.server.stop()
    assert await close_of(peer) == (1001, "shutdown")
    assert (await late.reader.read()).startswith(b"HTTP/1.1 503 ")


async def test_tokens_are_asked_of_pages_too(serve):
    house = await serve(tokens=Tokens([(Grant.ADMIN, "x" * 16)]))
    peer, good = await house.peer(web=True), await house.peer(web=True)
    await peer.say(peer.hello_message())
    assert await close_of(peer) == (1008, "auth")
    assert isinstance(await good.hello(token="x" * 16), m.Welcome)


async def test_a_reset_leaves_the_session_to_a_resume(serve):
    house = await serve()
    peer = await house.peer(web=True)
    welcome = await peer.hello()
    await peer.step([FIRST])
    await peer.close()
    again = await house.peer()
    assert (await again.hello(resume=welcome.session)).last_seq == 1


# -- doors -----------------------------------------------------------------------------------------


async def test_pages_and_names_that_are_listed_may_come(serve, tmp_path):
    web = WebConfig(origins=("https://game.example", "null"), hosts=("agentd.example",))
    house = await serve(config=msgspec.structs.replace(server_config(), web=web))
    assert (await ask(house, Origin="https://game.example"))[0] == 426
    assert (await ask(house, Origin="null"))[0] == 426
    status, said = await ask(house, Origin="https://game.example:8443")
    assert (status, said) == (
        403,
        "origin 'https://game.example:8443' is not listed in web.origins\n",
    )
    assert house.server.connections.refusals == 3


async def test_a_unix_socket_speaks_websocket(serve, tmp_path):
    path = str(tmp_path / "agentd.sock")
    house = await serve(config=msgspec.structs.replace(server_config(), unix=path))
    peer = await house.peer(web=True, unix=path)
    await peer.hello()
    assert isinstance(await peer.step([FIRST]), m.ActReply)


async def test_tls_speaks_websocket(serve, certificate):
    cert, key = certificate
    tls = TlsConfig(cert=cert, key=key)
    house = await serve(config=msgspec.structs.replace(server_config(), tls=tls))
    context = ssl.create_default_context(cafile=cert)
    peer = await house.peer(web=True, ssl=context, server_hostname="localhost")
    await peer.hello(streams=64)
    for n in range(3):
        assert isinstance(await peer.step([MID if n else FIRST] * 64), m.ActReply)
    await peer.say(m.Goodbye(reason="client_done"))
    assert await close_of(peer) == (1000, "client_done")
