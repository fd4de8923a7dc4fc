"""The JavaScript client in Node over TLS, WebSocket over TLS and a unix socket."""

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the HTTP side needs the extra web")
Node = Callable[..., Any]


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for this machine and its key. Skips without openssl."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "1", "-keyout", str(key), "-out", str(cert)]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return cert, key


def test_every_carrier_plays_and_trusts_whom_it_should(node: Node, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        http = probe.getsockname()[1]
    command = [sys.executable, "-m", "agentd", "serve", "--port", "0", "--http-port", str(http)]
    command += ["--data-dir", str(tmp_path / "data"), "--unix", str(tmp_path / "game"), "--quiet"]
    command += ["--set", f"tls.cert={cert}", "--set", f"tls.key={key}"]
    command += ["--set", "agents.carriers={learner: none}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        port = daemon.stdout.readline().rpartition(":")[2].strip()
        places = [f"tls://127.0.0.1:{port}", f"wss://localhost:{port}", f"unix:{tmp_path}/game"]
        try:
            assert daemon.stdout.readline() == f"listening on {tmp_path}/game\n"
            assert node("carriers.mjs", cert, f"127.0.0.1:{http}", *places) == [2, 2, 2]
        finally:
            daemon.terminate()
