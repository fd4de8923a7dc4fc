"""Peers that are not ours: the ``websockets`` package, and bytes that nobody should send."""

import asyncio
import os
import random

import msgpack
import msgspec
import pytest

from agentd.protocol import messages as m
from agentd.protocol.codec import decode_server, encode
from agentd.protocol.websocket import Opcode, encode_frame

websockets = pytest.importorskip("websockets", reason="websockets, a peer, is not installed")
from websockets.asyncio.client import connect  # noqa: E402

FIRST, MID = 0, 1


async def say(socket, *messages: m.Message) -> None:
    for message in messages:
        await socket.send(encode(message)[4:])


async def hear(socket) -> m.ServerMessage:
    async with asyncio.timeout(10):
        return decode_server(await socket.recv())


def url(house) -> str:
    return f"ws://{house.host}:{house.port}/"


async def test_a_session_from_hello_to_close(serve, hello):
    house = await serve()
    peer = await house.peer()
    async with connect(url(house)) as socket:  # it offers permessage-deflate
        assert socket.protocol.extensions == []
        await say(socket, hello)
        assert isinstance(await hear(socket), m.Welcome)
        peer.seq = 0
        for n in range(50):
            await say(socket, peer.frame([MID if n else FIRST] * 4))
            act = await hear(socket)
            assert (type(act), act.seq) == (m.ActReply, n + 1)
        latency = await (await socket.ping())
        assert latency < 10
        await say(socket, m.Goodbye(reason="client_done"))
        assert await hear(socket) == m.Goodbye(reason="client_done")
        await socket.wait_closed()
        assert (socket.close_code, socket.close_reason) == (1000, "client_done")


async def test_fragments_of_any_size_are_one_message(serve, hello):
    house = await serve(max_rows=4096)
    peer = await house.peer()
    async with connect(url(house), max_size=None) as socket:
        await say(socket, msgspec.structs.replace(hello, streams=4096, explain=True))
        await hear(socket)
        body = encode(peer.frame([FIRST] * 4096))[4:]
        size = random.Random(1)
        parts, at = [], 0
        while at < len(body):
            parts.append(body[at : (at := at + size.choice((1, 100, 126, 5000, 66_000)))])
        await socket.send(parts)
        act = await hear(socket)
        assert (act.seq, len(act.action), len(act.q)) == (1, 4 * 4096, 4 * 4096 * 3)


async def test_text_and_too_much_are_told_and_closed(serve, hello):
    house = await serve(max_frame=100_000)
    cases = {"BAD_FRAME": ("words", 1003), "FRAME_TOO_LARGE": (bytes(100_001), 1009)}
    for code, (sent, close) in cases.items():
        async with connect(url(house)) as socket:
            await say(socket, hello)
            await hear(socket)
            await socket.send(sent)
            error = await hear(socket)
            assert (error.code, error.fatal) == (code, True)
            assert isinstance(await hear(socket), m.Goodbye)
            await socket.wait_closed()
            assert socket.close_code == close


async def test_a_foreign_page_gets_no_handshake(serve):
    house = await serve()
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        await connect(url(house), origin="https://evil.example")
    assert refused.value.response.status_code == 403
    assert b"origin 'https://evil.example' is not listed" in refused.value.response.body
    near = {"origin": "http://localhost:8000", "subprotocols": ["agentd.v1"]}
    async with connect(url(house), **near) as own:
        assert own.subprotocol == "agentd.v1"


async def test_hostile_messages_hurt_nobody_else(serve):
    house = await serve()
    rng = random.Random(7)
    good = await house.peer(web=True)
    await good.hello(agent="good")
    valid = msgpack.packb({"type": "ping", "t": 1})
    for turn in range(120):
        bad = await house.peer(web=True)
        if turn % 2:
            await bad.hello(agent="bad")
        data = bytearray(encode_frame(Opcode.BINARY, valid, key=os.urandom(4)) * 3)
        for _ in range(rng.randint(1, 5)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        bad.writer.writer.write(bytes(data))
        answer = await good.step([MID if turn else FIRST] * 4)
        assert isinstance(answer, m.ActReply)
        await bad.close()
    while len(house.server.connections) > 1:
        await asyncio.sleep(0.01)
