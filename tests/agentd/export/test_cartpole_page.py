"""The example page's agent balances the pole without a daemon, in Node and in a browser."""

import functools
import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentd.cli import main

PAGE = Path(__file__).parents[3] / "docs" / "examples" / "cartpole"
PLAY = """
let seed = 7;
const random = () => (seed = (seed * 48271) %% 2147483647) / 2147483647;
const [game, policy, lengths, took] = [new CartPole(random), new Policy(), [], []];
let [actions, begun] = [0, performance.now()];
for (let i = 0; i < 30; i++) {
  game.reset();
  policy.reset();
  for (let over = false; !over; ) {
    over = game.step(policy.act(game.state));
    if (++actions %% 50 === 0) {
      const now = performance.now();
      took.push((now - begun) * 20);
      begun = now;
    }
  }
  lengths.push(game.steps);
}
took.sort((a, b) => a - b);
%s([lengths, took[took.length >> 1]]);
"""
SCRIPT = 'import { CartPole } from "PAGE/game.mjs";\nimport { Policy } from "PAGE/policy.mjs";\n'
IN_PAGE = """
Promise.all([import("./game.mjs"), import("./policy.mjs")]).then(([{ CartPole }, { Policy }]) => {
  %s
});
true
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files, and writes no line for each."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def page(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A copy of the page's folder, and the address that it is served at."""
    folder = Path(shutil.copytree(PAGE, tmp_path / "page"))
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def mean_length(found: Any) -> float:
    """The mean of thirty episodes; says what an action took (median of fifties)."""
    lengths, microseconds = found
    print(f"mean length {sum(lengths) / len(lengths)}, {microseconds:.1f} µs an action")
    return float(sum(lengths) / len(lengths))


def balanced(browser: Any, address: str) -> float:
    """Open the page, see its pole move, and play thirty episodes in it; their mean length."""
    browser.call("Page.navigate", url=address)
    moved = "document.getElementById('pole')?.getAttribute('transform') ?? ''"
    browser.wait(lambda: browser.ask(moved))
    seen = browser.ask(moved)
    browser.wait(lambda: browser.ask(moved) != seen)
    browser.ask(IN_PAGE % (PLAY % "window.found = "))
    browser.wait(lambda: browser.ask("window.found !== undefined"))
    asked = "performance.getEntriesByType('resource').map((each) => each.name)"
    assert all(name.startswith(address) for name in browser.ask(asked))
    assert browser.errors == []
    return mean_length(browser.ask("window.found"))


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_exported_agent_balances_in_node(tmp_path: Path) -> None:
    text = SCRIPT.replace("PAGE", PAGE.as_posix())
    told = "((all) => console.log(JSON.stringify(all)))"
    (tmp_path / "main.mjs").write_text(text + PLAY % told)
    done = subprocess.run(
        ["node", str(tmp_path / "main.mjs")], capture_output=True, text=True, check=True
    )
    assert mean_length(json.loads(done.stdout)) >= 475


def test_the_exported_agent_balances_in_a_browser(browser: Any, page: tuple[Path, str]) -> None:
    assert balanced(browser, page[1]) >= 475


def test_axe_finds_nothing_in_the_page(browser: Any, page: tuple[Path, str], axe: str) -> None:
    browser.call("Page.navigate", url=page[1])
    browser.wait(lambda: browser.ask("!!document.getElementById('pole')"))
    assert browser.complaints(axe) == []


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_what_the_demo_has_learned_balances_in_a_browser(
    browser: Any, page: tuple[Path, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """From ``agentd demo --fast`` over ``agentd export`` to the page's own first episode."""
    folder, address = page
    data = ["--data-dir", str(tmp_path / "data")]
    assert main(["demo", "--fast", "--json", *data]) == 0
    capfd.readouterr()
    out = ["--out", str(folder / "policy.mjs"), "--json"]
    assert main(["export", "demo", "--to", "js", "--int8", "--check", *out, *data]) == 0
    record = json.loads(capfd.readouterr().out)
    print(f"{record['bytes']} bytes; in Node {record['check']['us_per_action']:.1f} µs an action")
    assert balanced(browser, address) >= 475
    browser.wait(lambda: browser.count("episodes") >= 1)
    assert float(browser.text("mean")) >= 475


def test_the_page_asks_no_other_host() -> None:
    text = "".join(path.read_text() for path in PAGE.iterdir())
    assert "fetch(" not in text
    assert "http" not in text.replace("http.server", "")
