"""N5, T1: more connections than there are descriptors, none of which says a word."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agentd.client import FIRST, MID, Client
from agentd.protocol import messages as m
from agentd.protocol.codec import FrameDecoder, decode_server

from ..conftest import Serving

FILES, SPARE, CROWD = 256, 64, 300
X = {"x": ("float32", (4,))}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Serving]:
    """A daemon that may open few files."""
    command = [sys.executable, "-m", "agentd", "serve", "--port", "0", "--no-http"]
    command += ["--data-dir", str(tmp_path / "data"), "--set", "agent={learner: none}"]
    limited = ["sh", "-c", f'ulimit -n {FILES} && exec "$@"', "sh", *command]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(limited, text=True, **pipes)
    yield Serving(process)
    process.kill()
    process.communicate()


def processor_s(pid: int) -> float:
    """Seconds of processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def first_word(peer: socket.socket) -> m.ServerMessage | None:
    """What a connection that says nothing is told first; None where it was just closed."""
    decoder = FrameDecoder(1 << 20)
    peer.settimeout(15)
    while (body := decoder.next_frame()) is None:
        try:
            data = peer.recv(4096)
        except ConnectionResetError:
            return None
        if not data:
            return None
        decoder.feed(data)
    return decode_server(body)


def test_at_the_limit_of_descriptors_who_comes_is_refused_and_who_plays_plays_on(daemon):
    row, crowd = np.zeros((1, 4), np.float32), []
    with Client.connect(("127.0.0.1", daemon.port), "a", X, 3) as client:
        client.step(row, 0.0, FIRST)
        for number in range(CROWD):
            crowd.append(socket.create_connection(("127.0.0.1", daemon.port), timeout=15))
            if number % 10 == 0:  # it takes those in, and its game plays on
                client.step(row, 0.0, MID)
        before, began = processor_s(daemon.process.pid), time.monotonic()
        time.sleep(0.5)
        spent, took = processor_s(daemon.process.pid) - before, time.monotonic() - began
        assert spent < 0.5 * took, "it spins"
        said = [first_word(peer) for peer in crowd]
        client.step(row, 0.0, MID)
    codes = [word.code for word in said if isinstance(word, m.Error)]
    assert codes.count("LIMIT") >= CROWD - (FILES - SPARE) - 10, codes
    assert all(word.retry_ms for word in said if getattr(word, "code", "") == "LIMIT")
    assert codes.count("HELLO_TIMEOUT") > 100
    for peer in crowd:
        peer.close()
    with Client.connect(("127.0.0.1", daemon.port), "a", X, 3) as client:
        client.step(row, 0.0, FIRST)
    code, err = daemon.end()
    assert (code, "Traceback" in err) == (0, False), err
