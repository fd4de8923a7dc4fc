"""Rows for replay rings, as the server would write them, and a real browser.

The browser is a Chromium without a window, driven by its DevTools protocol over two pipes.
"""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--mute-audio"),
    *("--no-first-run", "--disable-extensions", "--disable-component-update", "--disable-sync"),
    *("--window-size=1280,800", "--disable-background-networking", "--disable-default-apps"),
    "--remote-debugging-pipe",
)
PATIENCE_S = 60.0
SHAPES = {"desk": (1280, 800, False), "phone": (360, 800, True)}
AXED = """
window.axed = null;
axe.run(document, {resultTypes: ["violations"]}).then(
  ({ violations }) => { window.axed = violations.map(
    ({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html).join(" ")}`); },
  (fault) => { window.axed = [String(fault)]; });
true
"""


class Browser:
    """One page of a browser."""

    def __init__(self, program: str, profile: Path) -> None:
        ours, theirs = os.pipe(), os.pipe()
        chromium = [program, *FLAGS, f"--user-data-dir={profile}"]
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

    def dress(self, scheme: str) -> None:
        """Prefer a colour scheme, "dark" or "light"."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def complaints(self, axe: str) -> list[str]:
        """What axe-core finds wrong with the page, dark and light, wide and narrow."""
        found = []
        self.call("Runtime.evaluate", expression=axe)
        for name, (width, height, mobile) in SHAPES.items():
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
            self.call("Emulation.setDeviceMetricsOverride", **size)
            for scheme in ("dark", "light"):
                self.dress(scheme)
                self.ask(AXED)
                self.wait(lambda: self.ask("window.axed !== null"))
                found += [f"{name}, {scheme}: {said}" for said in self.ask("window.axed")]
        return found

    def picture(self, path: Path, scheme: str) -> None:
        """Save how the page looks in a colour scheme."""
        self.dress(scheme)
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


@pytest.fixture
def axe() -> str:
    """The code of axe-core, which looks for what keeps people out of a page. Skips without it."""
    root = os.environ.get("NODE_PATH", "")
    if not root and shutil.which("npm"):
        done = subprocess.run(["npm", "root", "-g"], capture_output=True, text=True, check=False)
        root = done.stdout.strip()
    file = Path(root) / "axe-core" / "axe.min.js"
    if not file.is_file():
        pytest.skip("axe-core is not installed: npm install -g axe-core")
    return file.read_text()


@pytest.fixture
def rows() -> Any:
    """Build the arguments of `ReplayRing.append` for small rows."""

    def make(
        kind: list[int], stream: list[int], reward: list[float] | None = None, **more: Any
    ) -> dict[str, Any]:
        n = len(kind)
        values = {
            "obs": np.arange(n, dtype=np.uint8)[:, None].repeat(4, axis=1),
            "mask": None,
            "action": np.where(np.array(kind) >= 2, -1, 0)[:, None].astype(np.int32),
            "reward": np.array(reward or [0.0] * n, np.float32),
            "kind": np.array(kind, np.uint8),
            "explored": 0,
            "stream": np.array(stream, np.int64),
            "session": 1,
            "seq": 1,
            "version": 0,
        }
        return values | more

    return make
