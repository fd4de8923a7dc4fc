"""``agentd serve`` as a process: readiness, refusals with their exit codes, an orderly end."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentd.cli.daemon.serve import explain_bind
from agentd.client import Client
from agentd.config import ServerConfig
from agentd.errors import Unavailable

Run = Callable[..., subprocess.CompletedProcess[str]]
Serve = Callable[..., Any]


def test_ready_means_ready_and_sigterm_ends_with_0(serve: Serve) -> None:
    daemon = serve()

    with Client.connect(("127.0.0.1", daemon.port), role="admin") as admin:
        assert admin.agents() == []
    code, err = daemon.end()

    assert code == 0
    assert "level=info logger=agentd.server event=draining connections=" in err


def test_ctrl_c_ends_with_0_as_well(serve: Serve) -> None:
    code, err = serve().end(signal.SIGINT)

    assert code == 0
    assert "Traceback" not in err


def test_a_port_in_use_names_its_holder(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--port", str(port), "--no-http", "--data-dir", str(tmp_path))

    assert done.returncode == 69
    if sys.platform == "linux":
        assert f"port {port} is in use by pid {os.getpid()} (" in done.stderr
    assert "choose another with --port" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_http_port_in_use_is_told_too(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("serve", "--port", "0", "--http-port", port, "--data-dir", str(tmp_path))

    assert done.returncode == 69
    assert port in done.stderr


def test_a_second_daemon_on_one_directory_is_refused(
    serve: Serve, run: Run, tmp_path: Path
) -> None:
    first = serve("--data-dir", str(tmp_path))

    done = run("serve", "--port", "0", "--no-http", "--data-dir", str(tmp_path))

    assert done.returncode == 73
    assert f"process {first.process.pid} " in done.stderr
    assert done.stdout == ""


def test_open_to_all_without_tokens_is_refused_in_one_line(run: Run) -> None:
    done = run("serve", "--host", "0.0.0.0")

    assert done.returncode == 78
    assert done.stderr.count("\n") == 1
    assert "set `tokens: FILE`" in done.stderr


def test_a_loose_token_file_is_refused(run: Run, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("admin 0123456789abcdef\n")
    tokens.chmod(0o644)

    done = run("serve", "--host", "0.0.0.0", "--set", f"tokens={tokens}")

    assert done.returncode == 78
    assert "chmod 600" in done.stderr


def test_a_data_directory_that_cannot_be_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    done = run("serve", "--port", "0", "--no-http", "--data-dir", str(tmp_path / "file/data"))

    assert done.returncode == 74
    assert "Not a directory" in done.stderr


def test_the_daemon_ends_with_its_parent(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agentd", "serve", "--port", "0", "--no-http"]
    command += ["--data-dir", str(tmp_path), "--until-eof"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline().startswith(b"listening on ")

        process.stdin.close()

        assert process.wait(20) == 0


def test_an_address_that_is_not_ours_is_unavailable() -> None:
    error = explain_bind(
        ExceptionGroup("g", [OSError(99, "Cannot assign requested address")]),
        ServerConfig(host="192.0.2.1"),
    )

    assert isinstance(error, Unavailable)
    assert "192.0.2.1:7331" in str(error)
