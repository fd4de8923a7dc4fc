"""Lines of the log: pairs, or JSON where the environment asks for it."""

import json
import logging
import os
import subprocess
import sys

import pytest

from agentd.log_lines import JsonFormatter, KeyValueFormatter, log_formatter


def record(message, *of, error=None):
    return logging.LogRecord("agentd.agent", logging.WARNING, "f", 1, message, of, error)


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("frame refused agent=npc seq=3", {"event": "frame refused", "agent": "npc", "seq": "3"}),
        ("a=b c='d e' at the end", {"a": "b", "c": "d e", "text": "at the end"}),
        ("only\nwords", {"event": "only words"}),
        ("failed level=high x=1", {"event": "failed", "level": "warning", "x": "1"}),
        ("", {}),
    ],
)
def test_a_line_of_json_has_what_the_message_names(message, found):
    line = JsonFormatter().format(record(message))
    read = json.loads(line)
    assert "\n" not in line
    assert read.pop("time").endswith("Z")
    assert read == {"level": "warning", "logger": "agentd.agent"} | found


def test_an_exception_is_a_value_of_its_line():
    try:
        raise ValueError("no")
    except ValueError:
        line = JsonFormatter().format(record("x", error=sys.exc_info()))
    assert "ValueError: no" in json.loads(line)["traceback"]


def test_the_environment_chooses(monkeypatch):
    monkeypatch.delenv("AGENTD_LOG_FORMAT", raising=False)
    assert type(log_formatter()) is KeyValueFormatter
    monkeypatch.setenv("AGENTD_LOG_FORMAT", "json")
    assert type(log_formatter()) is JsonFormatter


def test_a_daemon_writes_json_when_asked(tmp_path):
    command = [sys.executable, "-m", "agentd", "serve", "--port", "0", "--no-http", "--until-eof"]
    with subprocess.Popen(
        [*command, "--data-dir", str(tmp_path)],
        env={**os.environ, "AGENTD_LOG_FORMAT": "json"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as daemon:
        assert daemon.stdout.readline().startswith(b"listening")
        said = daemon.communicate(timeout=100)[1].decode()
    assert daemon.returncode == 0, said
    lines = [json.loads(line) for line in said.splitlines()]
    assert "draining" in [line.get("event") for line in lines]
