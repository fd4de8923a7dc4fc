"""What first use costs is paid before anybody waits: kernels, and deadlines of those who spoke."""

import asyncio
import socket
import time
from typing import Any

import numpy as np
import pytest

from agentd.cli.daemon.serve import loop_factory
from agentd.protocol import messages as m
from agentd.protocol.codec import FrameDecoder, decode_server, encode

FIRST, TRUNCATED = 0, 3
DENSE = {"model": {"layers": [{"dense": 24}, "relu", {"dense": 72}, "tanh"]}}


@pytest.mark.opencl
async def test_no_kernel_is_built_while_a_game_waits_for_its_action(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agentd.engine.opencl_backend import programs, runtime
    from agentd.engine.opencl_backend.devices import list_devices

    if not list_devices():
        pytest.skip("no OpenCL platform")
    monkeypatch.setattr(runtime, "_contexts", {})  # as in a process that has built nothing yet
    built: list[str] = []
    build = programs.Programs.build

    def noted(self: Any, file: str, source: str, options: Any) -> Any:
        built.append(f"{file} {' '.join(options)}")
        return build(self, file, source, options)

    monkeypatch.setattr(programs.Programs, "build", noted)
    peer = await (await serve(DENSE, device="opencl")).peer()
    await peer.say(peer.hello_message(streams=64))
    assert isinstance(await peer.hear(120), m.Welcome)
    assert built

    before = len(built)
    for rows in (1, 2, 3, 4, 7, 9, 33):
        kind = [FIRST] * rows
        stream = range(rows)
        act = await peer.step(kind, np.ones((rows, 4)), stream=stream)
        assert isinstance(act, m.ActReply)
        await peer.step([TRUNCATED] * rows, np.ones((rows, 4)), stream=stream)
    assert built[before:] == []


def test_a_hello_that_was_sent_in_time_is_taken_though_the_loop_was_away(
    build_house: Any, hello: m.Hello
) -> None:
    async def play() -> m.ServerMessage:
        house = await build_house(hello_timeout_s=0.3).up()
        try:
            with socket.create_connection((house.host, house.port), timeout=20) as peer:
                await asyncio.sleep(0.1)  # it is taken in, and the sweep is under way

                def busy() -> None:
                    loop.remove_reader(bell)
                    peer.sendall(encode(hello))
                    time.sleep(1.0)  # as when a kernel is built in the loop

                loop = asyncio.get_running_loop()
                bell, rope = socket.socketpair()
                with bell, rope:
                    loop.add_reader(bell, busy)  # while sockets are read: this one's turn is over
                    rope.send(b"!")
                    return await asyncio.to_thread(first_message, peer)
        finally:
            await house.down()

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        assert isinstance(runner.run(play()), m.Welcome)


def first_message(sock: socket.socket) -> m.ServerMessage:
    decoder = FrameDecoder(1 << 20)
    while (body := decoder.next_frame()) is None:
        decoder.feed(sock.recv(65536))
    return decode_server(body)
