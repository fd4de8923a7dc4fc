"""Several serving processes on one port, as games and an admin see them."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import time

import msgpack
import numpy as np
import pytest

from agentd.client import FIRST, MID, Client, OperationRefused
from agentd.client.web import WebSocketEnd
from agentd.server.processes.channel import GATHERED, SMALL

from ..conftest import Serving

PLAYS = '{"learner": "none", "model": {"layers": [{"dense": 8}]}}'
X = {"x": ("float32", (4,))}


def connect(daemon, agent="plays", role="play", **options) -> Client:
    options.setdefault("streams", SMALL)  # stays in the process that took it in
    return Client.connect(("127.0.0.1", daemon.port), agent, X, 3, role=role, **options)


def home(client: Client) -> int:
    """The number of the process that a session lives in."""
    return client.welcome.session[0]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A daemon of two serving processes with an agent that plays and one that learns."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "agentd", "serve", "--port", "0", "--no-http", "-q"]
    command += ["--data-dir", str(folder), "--workers", "2", "--set", f"agents.plays={PLAYS}"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    daemon = Serving(subprocess.Popen(command, **pipes))
    with connect(daemon) as first:  # binds the schema
        first.step(np.zeros((1, 4), np.float32), [0], [FIRST])
    yield daemon
    code, said = daemon.end()
    assert code == 0, said


def test_both_processes_play_and_give_the_same_answers(two):
    obs = np.random.default_rng(0).standard_normal((1, 4)).astype(np.float32)
    clients = [connect(two) for _ in range(24)]
    try:
        answers = [client.step(obs, [0], [FIRST]).actions.tolist() for client in clients]
        assert {home(client) for client in clients} == {0, 1}
        assert all(answer == answers[0] for answer in answers)

        with connect(two, role="admin") as admin:
            for _ in range(100):  # what a worker did is told a moment later
                stats = admin.stats()
                plays, connections = stats.agents["plays"], stats.server["connections"]
                if (plays["connections"], plays["frames"], connections) == (24, 25, 25):
                    break
                time.sleep(0.1)
            assert stats.agents["plays"]["frames"] == 25
            assert stats.agents["plays"]["connections"] == 24
            assert stats.server["connections"] == 25
            with pytest.raises(OperationRefused) as refused:
                admin.unload("plays")
            assert refused.value.code == "AGENT_IN_USE"
    finally:
        for client in clients:
            client.close()


def test_a_few_small_games_share_the_batches_of_the_first_process_and_many_do_not(two):
    clients = [connect(two, streams=1) for _ in range(GATHERED)]
    try:
        assert {home(client) for client in clients} == {0}
        obs = np.ones((1, 4), np.float32)
        assert len({tuple(c.step(obs, [0], [FIRST]).actions) for c in clients}) == 1

        clients += [connect(two, streams=1) for _ in range(24)]
        assert {home(client) for client in clients} == {0, 1}
        assert len({tuple(c.step(obs, [0], [FIRST]).actions) for c in clients[GATHERED:]}) == 1
    finally:
        for client in clients:
            client.close()


def test_who_learns_and_who_looks_after_is_always_in_the_first_process(two):
    for _ in range(8):
        with connect(two, "learns", role="train") as client:
            client.step(np.zeros((1, 4), np.float32), [0], [FIRST])
            assert home(client) == 0
    with connect(two, role="admin") as admin:
        assert admin.stats("learns").agents["learns"]["env_steps"] == 8


def test_a_websocket_changes_hands_as_a_socket_does(two):
    address = f"ws://127.0.0.1:{two.port}"
    for _ in range(8):  # half of them land in the other process
        with Client.connect(address, "learns", X, 3) as client:
            for n in range(3):
                client.step(np.zeros((1, 4), np.float32), [0], [MID if n else FIRST])
            assert home(client) == 0


def test_a_message_that_is_begun_behind_the_hello_goes_along(two):
    body = {"type": "hello", "protocol": [1, 1], "client": "t", "role": "train", "agent": "learns"}
    body |= {"observation": {"x": {"dtype": "float32", "shape": [4]}}, "streams": 1}
    body |= {"action": {"kind": "discrete", "n": 3}, "run": bytes(16)}
    step = {"type": "step", "seq": 1, "stream": bytes(4), "kind": bytes(1), "reward": bytes(4)}
    step |= {"obs": {"x": bytes(16)}}
    frames = [msgpack.packb(message) for message in (body, step)]
    for _ in range(6):  # half of them land in the other process
        end = WebSocketEnd("localhost")
        with socket.create_connection(("127.0.0.1", two.port), 30) as dialled:
            dialled.sendall(end.request())
            while not end.upgraded:
                assert end.receive(dialled.recv(4096)) == (b"", b"")
            data = b"".join(end.wrap(len(each).to_bytes(4, "little") + each) for each in frames)
            dialled.sendall(data[:-20])
            got = b""
            while b"welcome" not in got:
                got += end.receive(dialled.recv(4096))[0]
            dialled.sendall(data[-20:])
            while b"act" not in got:
                got += end.receive(dialled.recv(4096))[0]


def test_a_session_is_resumed_whichever_process_takes_the_connection(two):
    for wanted in (0, 1):
        for _ in range(50):
            client = connect(two)
            if home(client) == wanted:
                break
            client.close()
        client.step(np.zeros((1, 4), np.float32), [0], [FIRST])
        session = client.welcome.session
        for _ in range(6):  # one of these lands in the other process
            client._wire.close()
            client.step(np.zeros((1, 4), np.float32), [0], [MID])  # refused as BAD_KIND if lost
            assert client.welcome.session == session
            assert client.welcome.resumed
        client.close()


def test_a_worker_that_is_killed_comes_again_and_the_others_go_on(two):
    listing = ["ps", "-o", "pid=,args=", "--ppid", str(two.process.pid)]
    children = subprocess.run(listing, capture_output=True, text=True, check=True).stdout
    (worker,) = [int(line.split()[0]) for line in children.splitlines() if "--worker" in line]
    with connect(two, "learns", role="train") as client:
        client.step(np.zeros((1, 4), np.float32), [0], [FIRST])
        os.kill(worker, signal.SIGKILL)
        for _ in itertools.repeat(None, 20):
            client.step(np.zeros((1, 4), np.float32), [0], [MID])
        assert client.reconnects == 0
    for _ in range(300):
        with connect(two, retry_for=5.0, wait=5.0) as again:
            if home(again) == 1:
                break
        time.sleep(0.05)
    else:
        raise AssertionError("the worker has not come again")


def test_a_checkpoint_that_is_loaded_acts_in_every_process(two):
    with connect(two, role="admin") as admin:
        saved = admin.save("plays")
        admin.load("plays", saved.checkpoint)
    obs = np.ones((1, 4), np.float32)
    seen = {}
    for _ in range(40):
        with connect(two) as client:
            seen[home(client)] = client.step(obs, [0], [FIRST]).version
        if len(seen) == 2:
            break
    assert len(seen) == 2
    assert len(set(seen.values())) == 1


def test_tls_and_workers_are_refused(run, tmp_path):
    flags = ["--workers", "2", "--set", "tls.cert=a", "--set", "tls.key=b"]
    found = run("serve", "--data-dir", str(tmp_path), *flags)
    assert found.returncode == 78
    assert "TLS" in found.stderr
