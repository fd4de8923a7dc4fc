"""The serving benchmark: answers are checked, loads drain, peers take turns."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("uvloop")
SCRIPTS = Path(__file__).resolve().parent.parent.parent / "scripts"


def bench(*arguments: str) -> dict:
    command = [sys.executable, str(SCRIPTS / "bench_serving.py"), *arguments, "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=110, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_server_answers_every_frame_of_a_closed_loop():
    flags = ("--connections", "3", "--rows", "2", "--seconds", "0.2", "--rounds", "1")
    found = bench("frames", *flags)["frames"]["3x2"]
    assert set(found) == {"agentd", "msgpack", "echo"}
    for run in found.values():
        assert run["errors"] == 0
        assert run["frames"] == sum(run["histogram_log2_us"]) > 0
        assert 0 < run["p50_ms"] <= run["p99_ms"] <= run["p999_ms"] <= run["max_ms"]
        assert run["rows_per_second"] == pytest.approx(2 * run["frames_per_second"], rel=0.01)


def test_a_wrong_answer_is_an_error(tmp_path):
    """A server that answers always the same is found out by a load that knows what is right."""
    liar = tmp_path / "liar.py"
    liar.write_text(
        "import asyncio, sys\n"
        f"sys.path.insert(0, {str(SCRIPTS)!r})\n"
        "import serving_peers as p\n"
        "class Liar(p.Framed):\n"
        "    count = 0\n"
        "    def answer(self, body):\n"
        "        Liar.count += 1\n"
        "        return Liar.count.to_bytes(4, 'little')\n"
        "asyncio.run(p.serve_frames(Liar, 1))\n"
    )
    server = subprocess.Popen([sys.executable, str(liar)], stdout=subprocess.PIPE, text=True)
    with server:
        port = int(server.stdout.readline().rsplit(":", 1)[1])
        spec = {"port": port, "agent": "net", "rows": 1, "connections": 2, "seconds": 0.2}
        command = [sys.executable, str(SCRIPTS / "serving_load.py"), json.dumps(spec)]
        done = subprocess.run(
            command, input="go\n", capture_output=True, text=True, timeout=60, check=True
        )
        server.terminate()
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["errors"] >= found["frames"] > 0


@pytest.mark.parametrize("rate", [None, 40])
def test_frames_and_answers_that_come_in_pieces_are_put_together(rate):
    """1.3 MB a frame: more than a socket takes at once; answers are longer than one read."""
    rows = 5000  # answers of 20,000 bytes
    command = [sys.executable, str(SCRIPTS / "serving_peers.py"), "echo", "--rows", str(rows)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with server:
        port = int(server.stdout.readline().rsplit(":", 1)[1])
        spec = {"port": port, "agent": "net", "rows": rows, "connections": 3, "seconds": 0.5}
        spec |= {"blank": True, "rate": rate}
        command = [sys.executable, str(SCRIPTS / "serving_load.py"), json.dumps(spec)]
        done = subprocess.run(
            command, input="go\n", capture_output=True, text=True, timeout=60, check=True
        )
        server.terminate()
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["errors"], found["frames"] > 3) == (0, True)
    assert rate is None or found["frames"] == rate // 2  # none that was due is left out
