"""A real Chromium without a window, driven by its DevTools protocol over two pipes."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--mute-audio"),
    *("--no-first-run", "--disable-extensions", "--disable-component-update", "--disable-sync"),
    *("--disable-background-networking", "--disable-default-apps", "--remote-debugging-pipe"),
)
PATIENCE_S = 60.0


class Browser:
    """One page of a browser."""

    def __init__(self, program: str, profile: Path, width: int = 1280, height: int = 800) -> None:
        ours, theirs = os.pipe(), os.pipe()
        chromium = [program, *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"]
        dressed = f'exec "$@" 3<&{ours[0]} 4>&{theirs[1]}'  # the pipe's ends are to be 3 and 4
        self._process = subprocess.Popen(
            ["bash", "-c", dressed, "-", *chromium, "about:blank"],
            pass_fds=(ours[0], theirs[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(ours[0])
        os.close(theirs[1])
        self._out, self._in = os.fdopen(ours[1], "wb", 0), os.fdopen(theirs[0], "rb")
        self._id, self._rest = 0, b""
        self._session: str | None = None
        self.errors: list[str] = []  # what the console was told
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        """The result of a DevTools command; events that come before it are noted."""
        self._id += 1
        message = {"id": self._id, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._id:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            data = self._in.raw.read(65536)  # type: ignore[attr-defined]
            assert data, "the browser has ended"
            self._rest += data
        text, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(text)
        return answer

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        entry = params.get("entry", {})
        failed = event["method"] == "Runtime.exceptionThrown" or entry.get("level") == "error"
        if failed or (event["method"] == "Runtime.consoleAPICalled" and params["type"] == "error"):
            self.errors.append(json.dumps(params))

    def ask(self, expression: str) -> Any:
        """The value of an expression of the page's."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return done["result"].get("value")

    def text(self, name: str) -> str:
        """The text of the element with that id."""
        return str(self.ask(f"document.getElementById({json.dumps(name)})?.textContent ?? ''"))

    def count(self, name: str) -> int:
        """The number that the element with that id shows."""
        return int(self.text(name).replace(",", "") or 0)

    def wait(self, fact: Callable[[], bool]) -> None:
        """Wait for a fact, for a minute at most."""
        end = time.monotonic() + PATIENCE_S
        while not fact():
            assert time.monotonic() < end, f"waited in vain; console: {self.errors}"
            time.sleep(0.1)

    def key(self, kind: str, key: str, code: int) -> None:
        """Press ("keyDown") or let go ("keyUp") a key."""
        self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

    def picture(self, path: Path, scheme: str) -> None:
        """Save how the page looks in a colour scheme."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.ask("new Promise((resolve) => { setTimeout(resolve, 700); })")
        time.sleep(0.7)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        """End the browser."""
        self._process.kill()
        self._process.wait()
        self._out.close()
        self._in.close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """Chromium. Skips without it."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("chromium is not installed")
    page = Browser(program, tmp_path / "profile")
    yield page
    page.close()


class WebDemo:
    """A running ``agentd demo --web --json``."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agentd", "demo", "--web", "--json", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self.said = self.process.stderr.readline()
        self.url = self.said.split()[-1]

    def end(self) -> tuple[int, dict[str, Any]]:
        """Send Ctrl-C; the exit code and the summary."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=60)
        assert "Traceback" not in err
        return self.process.returncode, json.loads(out)


@pytest.fixture
def web_demo() -> Iterator[Callable[..., WebDemo]]:
    """``web_demo("--seed", "1")``: the running command."""
    started: list[WebDemo] = []

    def start(*words: str) -> WebDemo:
        started.append(WebDemo(*words))
        return started[-1]

    yield start
    for demo in started:
        demo.process.kill()
        demo.process.communicate()
