"""``agentd demo --web``: a real browser plays its page; a person takes the paddle, and back."""

import http.client
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from agentd.cli import main
from agentd.cli.rl.demo_web import record_of, sum_up
from agentd.cli.rl.page.server import FILES, PageServer

WebDemos = Callable[..., Any]
RIGHT, SPACE = ("ArrowRight", 39), (" ", 32)


def get(url: str, path: str, **headers: str) -> http.client.HTTPResponse:
    """The answer to a request, its body read and thrown away."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


@pytest.fixture
def page():
    with PageServer(7331, {"port": 7331}) as server:
        yield server


@pytest.mark.timeout(240)
def test_the_page_plays_and_lets_a_person_play(browser: Any, web_demo: WebDemos) -> None:
    demo = web_demo("--seed", "1")
    browser.call("Page.navigate", url=demo.url)
    browser.wait(lambda: browser.text("state") == "learning")
    browser.wait(lambda: browser.count("frames") > 60 and browser.count("rallies") > 0)
    assert browser.text("player") == "agentd plays"

    browser.key("keyDown", *RIGHT)
    browser.wait(lambda: browser.text("player").startswith("you play"))
    assert browser.text("take") == "Hand it back"
    ended = browser.count("rallies")
    browser.wait(lambda: browser.count("rallies") > ended)
    browser.key("keyUp", *RIGHT)
    browser.key("keyDown", *SPACE)
    browser.wait(lambda: browser.text("player") == "agentd plays")
    frames = browser.count("frames")
    browser.wait(lambda: browser.count("frames") > frames + 30)

    assert browser.errors == []
    assert browser.text("state") == "learning"
    code, record = demo.end()
    assert code == 0
    assert record["rows"] > 60
    assert record["episodes"] > 0
    assert record["checkpoint"]
    browser.wait(lambda: browser.text("state") != "learning")  # and says so


@pytest.mark.long
@pytest.mark.timeout(400)
def test_the_page_learns_within_three_minutes(browser: Any, web_demo: WebDemos) -> None:
    demo = web_demo("--seed", "1")
    browser.call("Page.navigate", url=demo.url)
    browser.wait(lambda: browser.count("frames") > 0)
    for _ in range(18):
        time.sleep(10)
    assert float(browser.text("mean")) >= 2  # hits; of a paddle that knows nothing 0.2
    assert browser.errors == []
    assert demo.end()[0] == 0


@pytest.mark.timeout(240)
def test_axe_finds_nothing_in_the_page(browser: Any, web_demo: WebDemos, axe: str) -> None:
    browser.call("Page.navigate", url=web_demo("--seed", "1").url)
    browser.wait(lambda: browser.count("frames") > 60)
    assert browser.complaints(axe) == []


def test_the_page_is_all_there_and_loads_nothing_else(page: PageServer) -> None:
    for path in (*FILES, "/agentd.js", "/facts"):
        answer = get(page.url, path)
        policy = answer.headers["Content-Security-Policy"]
        assert answer.status == 200, path
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "connect-src 'self' ws://127.0.0.1:7331;" in policy
        assert "unsafe" not in policy
    assert get(page.url, "/..%2fserver.py").status == 404
    assert get(page.url, "/server.py").status == 404


@pytest.mark.parametrize("header", [{"host": "evil.example"}, {"origin": "https://evil.example"}])
def test_pages_of_others_get_nothing(page: PageServer, header: dict[str, str]) -> None:
    assert get(page.url, "/facts", **header).status == 403


@pytest.mark.parametrize("words", [["--fast"], ["--play"], ["--game", "snake"]])
def test_web_has_a_game_of_its_own(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--web", *words]) == 2
    assert "--web" in capsys.readouterr().err


def test_what_came_of_it_is_told() -> None:
    facts = {"rows": 1_000, "updates": 4_000, "episodes": 12, "return_mean": 2.5}

    assert sum_up(record_of(facts, 20.0, "1")).splitlines() == [
        "1,000 frames in 12 rallies; mean return lately 2.50",
        "4,000 updates, 4.0 a frame, while the game went on",
    ]
    assert sum_up(record_of({"rows": 0}, 20.0, None)) == "no page has played"
