"""One refused frame ends nothing: its episodes are left, and the game goes on."""

from __future__ import annotations

import asyncio
import socket
import threading

import numpy as np
import pytest

from agentd.client import FIRST, MID, AsyncClient, Client, DataRefused, NotAgentd, SessionLost, play
from agentd.client.rollout import REFUSALS, evaluate
from agentd.games import make
from agentd.protocol import messages as m

NAN = [[np.nan, 0.0], [0.0, 0.0]]
ROWS = [[3.0, 0.0], [4.0, 0.0]]


def test_after_a_refused_frame_the_blocking_client_begins_anew(peer, connect):
    client = connect(peer, streams=2)
    client.step(ROWS, 0.0, FIRST)
    old = client.welcome.session
    with pytest.raises(DataRefused):
        client.step(NAN, 0.0, MID)

    client.abandon()

    assert client.welcome.session != old
    assert peer.messages[-1] == m.Goodbye(reason="client_done")
    assert peer.hellos[-1].resume is None
    act = client.step(ROWS, 0.0, FIRST)
    assert (act.seq, act.actions.tolist()) == (1, [3, 4])
    peer.cut()  # the new session is resumed as any
    assert client.step(ROWS, 0.0, MID).seq == 2


def test_answers_that_wait_are_received_before(peer, connect):
    client = connect(peer, streams=2)
    client.send(ROWS, 0.0, FIRST)
    with pytest.raises(RuntimeError, match="pending"):
        client.abandon()
    assert client.receive().seq == 1


async def test_after_a_refused_frame_the_awaited_client_begins_anew(peer):
    async with await AsyncClient.connect(peer.address, "x", ("float32", (2,)), 7, streams=2) as one:
        await one.step(ROWS, 0.0, FIRST)
        with pytest.raises(DataRefused):
            await one.step(NAN, 0.0, MID)
        stop = threading.Event()
        peer.before_answer = lambda *_: stop.wait(5)
        others = await one.send(ROWS, 0.0, MID)

        leaving = asyncio.ensure_future(one.abandon())
        with pytest.raises(SessionLost):
            await others
        stop.set()
        await leaving

        act = await one.step(ROWS, 0.0, FIRST)
        assert (act.seq, act.actions.tolist()) == (1, [3, 4])
        assert peer.hellos[-1].resume is None


class Broken:
    """Catch, whose frames of these numbers hold a NaN."""

    def __init__(self, *broken: int) -> None:
        self._game = make("catch", 2, seed=1)
        self.spec, self.streams = self._game.spec, self._game.streams
        self._broken, self._frames, self.resets = broken, 0, 0

    def reset(self):
        self.resets += 1
        return self._passed(self._game.reset())

    def step(self, actions):
        return self._passed(self._game.step(actions))

    def _passed(self, frame):
        self._frames += 1
        if self._frames in self._broken or "always" in self._broken:
            frame = frame._replace(reward=np.full_like(frame.reward, np.nan))
            obs = {
                name: np.full(rows.shape, np.nan, np.float32) for name, rows in frame.obs.items()
            }
            frame = frame._replace(obs=obs)
        return frame


def join(peer, game, **options) -> Client:
    observation = {name: ("float32", shape) for name, (_, shape) in game.spec.observation.items()}
    return Client.connect(
        peer.address, "x", observation, game.spec.actions, streams=game.streams, **options
    )


def test_play_and_evaluate_survive_a_refused_frame_and_say_so(peer, caplog):
    game = Broken(5)
    with join(peer, game) as client:
        turns = play(client, game)
        steps = [next(turns).steps for _ in range(8)]
    assert steps == sorted(steps)
    assert game.resets == 2
    assert caplog.text.count("a frame was refused") == 1

    game = Broken(2)
    with join(peer, game, role="eval") as client:
        assert len(evaluate(client, game, 4).episodes) == 4


@pytest.mark.parametrize("how", ["play", "evaluate"])
def test_a_game_that_is_always_refused_ends(peer, how):
    game = Broken("always")
    with join(peer, game, role="eval") as client, pytest.raises(DataRefused):
        next(play(client, game)) if how == "play" else evaluate(client, game, 1)
    assert game.resets == REFUSALS


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "that is an HTTP port"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "speaks TLS"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "does not speak the protocol: it begins with b'SSH-'"),
    ],
)
async def test_whoever_else_answers_is_told_at_once(answer, told):
    def serve(listener: socket.socket) -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)
                connection.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        with pytest.raises(NotAgentd, match=f"127.0.0.1:{address[1]}: .*{told}"):
            await asyncio.to_thread(Client.connect, address, role="admin", wait=5.0)
        with pytest.raises(NotAgentd, match=told):
            await AsyncClient.connect(address, role="admin", wait=5.0)
        thread.join(5)
