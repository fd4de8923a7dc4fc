"""A real Chromium looks at the page while an agent trains, and presses its buttons."""

import http.client
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentd.client import Client, play
from agentd.games import make

SMALL = {
    "model": {"layers": [{"dense": 16}]},
    "dqn": {"batch": 8},
    "pace": {"mode": "free", "learn_start": 32},
    "replay": {"capacity": 2000},
}
STEP_S = 0.02
ABROAD = """
window.found = {};
const note = (how) => (said) => { window.found[how] = said; };
const ask = (how, path, options) => fetch("http://%(http)s" + path, options).then(
  (reply) => note(how)(reply.type === "opaque" ? "refused: unread" : `answered ${reply.status}`),
  (fault) => note(how)(`refused: ${fault}`));
const body = JSON.stringify({type: "freeze", agent: "catch", on: true});
ask("GET", "/stats");
ask("POST", "/operate", {method: "POST", body, headers: {"content-type": "application/json"}});
ask("POST of a form", "/operate", {method: "POST", body, mode: "no-cors"});
const events = new EventSource("http://%(http)s/events");
events.onopen = () => note("events")("opened");
events.onerror = () => { note("events")("refused"); events.close(); };
const game = new WebSocket("ws://%(game)s");
game.onopen = () => note("WebSocket")("opened");
game.onerror = () => note("WebSocket")("refused");
true
"""


class Watched:
    """A daemon with a page, and a game that one of its agents learns."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "agentd", "serve", "--port", "0", "--http-port", "0"]
        self.process = subprocess.Popen(
            [*command, "--data-dir", str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if found := re.search(r'http listening on ([^\s"]+)', line):
                self.http = found[1]
                break
        self._log = threading.Thread(target=self.process.stderr.read, daemon=True)
        self._log.start()
        self.port = int(self.process.stdout.readline().strip().rpartition(":")[2])
        self._over = threading.Event()
        self._player = threading.Thread(target=self._play, daemon=True)

    def train(self) -> None:
        """Let the game be played from now on, slowly."""
        self._player.start()

    def _play(self) -> None:
        address, game = ("127.0.0.1", self.port), make("catch", 4, 1)
        with Client.connect(address, role="admin") as admin:
            admin.create("catch", SMALL)
        look = (game.spec.observation, game.spec.actions)
        with Client.connect(address, "catch", *look, streams=4) as client:
            for turn in play(client, game):
                client.log(fallen=turn.steps)
                if self._over.wait(STEP_S):
                    break

    def leave(self) -> None:
        """End the game."""
        self._over.set()
        if self._player.ident is not None:
            self._player.join(20)

    def end(self) -> None:
        """End the game and the daemon."""
        self.leave()
        self.process.kill()
        self._log.join()
        with self.process:  # closes its pipes
            pass


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    daemon = Watched(tmp_path / "data")
    yield daemon
    daemon.end()


def corners(browser: Any, figure: str) -> int:
    """How many points the first line in a figure has."""
    path = browser.ask(f"document.querySelector('#{figure} path.line')?.getAttribute('d') ?? ''")
    return str(path).count("L")


def click(browser: Any, query: str) -> None:
    assert browser.ask(f"(document.querySelector({query!r})?.click(), true)")


def press(browser: Any, query: str, said: str) -> None:
    """Press a button and wait for what the page says of it."""
    click(browser, query)
    browser.wait(lambda: re.search(said, browser.text("said")))


@pytest.mark.timeout(240)
def test_it_is_seen_to_learn_and_its_buttons_work(browser: Any, watched: Watched) -> None:
    browser.call("Page.navigate", url=f"http://{watched.http}/")
    browser.wait(lambda: "No agent is here yet" in browser.text("empty"))
    watched.train()
    browser.wait(lambda: browser.text("name") == "catch")
    browser.wait(lambda: browser.text("state") == "learning")
    browser.wait(lambda: corners(browser, "return") > 0)
    before = corners(browser, "return"), corners(browser, "charts")
    browser.wait(lambda: corners(browser, "return") > before[0])
    browser.wait(lambda: corners(browser, "charts") > before[1])
    browser.wait(lambda: "fallen" in browser.text("logcharts"))
    assert browser.text("trend").startswith("Return ")
    assert browser.text("link") == "live"

    press(browser, "#save", r"^saved \d+-\d+-kept ")
    browser.wait(lambda: browser.ask("!!document.querySelector('#checkpoints td button')"))
    press(browser, "#freeze", "^catch learns no more$")
    browser.wait(lambda: browser.text("state") == "frozen")
    press(browser, "#freeze", "^catch learns again$")
    click(browser, "#checkpoints td button")
    browser.wait(lambda: browser.ask("document.getElementById('ask').open"))
    press(browser, "#ask-buttons .danger", r"^catch goes on from \d+")
    click(browser, "#explore")
    browser.ask("document.querySelector('#ask input').value = '0.25'")
    press(browser, "#ask-buttons button:last-child", "^catch explores: epsilon 0.25$")
    watched.leave()  # an agent that is played is not reset
    click(browser, "#reset")
    browser.wait(lambda: browser.ask("document.getElementById('ask').open"))
    press(browser, "#ask-buttons .danger", r"^catch begins anew; \d+-\d+\S* holds what it knew$")
    assert browser.errors == []

    found = asked_from_abroad(browser, watched)
    assert {name for name, said in found.items() if "refused" not in said} == set()
    with Client.connect(("127.0.0.1", watched.port), role="admin") as admin:
        assert not admin.stats("catch").agents["catch"]["frozen"]


def asked_from_abroad(browser: Any, watched: Watched) -> dict[str, str]:
    """What a page of another origin gets, by the way it asks: one without a host, and no policy."""
    browser.call("Page.navigate", url="data:text/html,<title>abroad</title>")
    browser.wait(lambda: browser.ask("document.title") == "abroad")
    browser.ask(ABROAD % {"http": watched.http, "game": f"127.0.0.1:{watched.port}"})
    browser.wait(lambda: browser.ask("Object.keys(window.found).length") == 5)
    found: dict[str, str] = browser.ask("window.found")
    return found


@pytest.mark.timeout(240)
def test_axe_finds_nothing_in_the_page(browser: Any, watched: Watched, axe: str) -> None:
    browser.call("Page.navigate", url=f"http://{watched.http}/")
    browser.wait(lambda: "No agent is here yet" in browser.text("empty"))
    assert browser.complaints(axe) == []
    watched.train()
    browser.wait(lambda: corners(browser, "return") > 0)
    click(browser, "#save")
    browser.wait(lambda: browser.ask("!!document.querySelector('#checkpoints td button')"))
    assert browser.complaints(axe) == []
    for button in ("reset", "explore"):
        click(browser, f"#{button}")
        browser.wait(lambda: browser.ask("document.getElementById('ask').open"))
        assert browser.complaints(axe) == []
        browser.ask("document.getElementById('ask').close()")
    assert browser.errors == []


@pytest.mark.timeout(120)
def test_a_page_whose_daemon_is_gone_says_so(browser: Any, watched: Watched) -> None:
    browser.call("Page.navigate", url=f"http://{watched.http}/")
    browser.wait(lambda: browser.text("link") == "live")
    connection = http.client.HTTPConnection(watched.http, timeout=20)
    connection.request("GET", "/readyz")
    assert connection.getresponse().status == 200
    watched.process.kill()
    browser.wait(lambda: browser.text("link") == "the daemon does not answer")
