"""docs/GAMES.md runs: every piece of its code, against one real daemon, and what it says of it."""

from __future__ import annotations

import contextlib
import itertools
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentd.client import FIRST, MID, TERMINATED, TRUNCATED, Client
from agentd.client.errors import DataRefused, Refused
from agentd.rl.daemon import Daemon

PAGE = (Path(__file__).parent.parent / "docs/GAMES.md").read_text()
PIECES = dict(re.findall(r"^```py\n# ([^\n]+)\n(.*?)^```$", PAGE, re.M | re.S))
RUN: set[str] = set()
SPACE: Any = (("float32", (2,)), 3)
CONFIG = """
limits: {heartbeat_s: 0.5}
agent: {learner: none}
agents:
  guard:
    model: {layers: [{dense: 8}, relu]}
    learner: dqn
    dqn: {batch: 8, last_actions: 1, horizon_s: 5}
    demonstrations: {min_rows: 1}
    exploration: {start: 0.0, end: 0.0}
    pace: {mode: free, learn_start: 16, train_every: 1}
"""


class Game:
    """A walker in a line; what the page's games have in common."""

    def __init__(self) -> None:
        self.x, self.frames, self.level, self.action = 0, 0, 1, 0
        self.reward, self.gain, self.kind = 0.0, 0.25, FIRST
        self.fought: tuple[int, int] | None = None

    def see(self, side: int = 0) -> Any:
        return np.array([self.x, 1 - 2 * side], np.float32)

    def play(self, action: int) -> None:
        assert 0 <= action < 3
        self.x += int(action) - 1
        self.frames += 1
        self.reward, self.kind = 0.5, MID

    def load_level(self, level: int) -> None:
        self.level, self.x = level, 0

    def fight(self, one: int, other: int) -> None:
        self.fought = (one, other)

    def pressed_key(self) -> int:
        return 2


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("games")
    (folder / "agentd.yaml").write_text(CONFIG)
    with Daemon(folder / "data", flags=[str(folder / "agentd.yaml")]) as running:
        yield running


@pytest.fixture
def address(daemon: Daemon) -> tuple[str, int]:
    return daemon.host, daemon.port


@pytest.fixture
def connect(address: tuple[str, int]) -> Iterator[Callable[..., Client]]:
    """``connect("agent", streams=2)``: a client of that agent, closed at the end."""
    with contextlib.ExitStack() as stack:
        yield lambda agent, **options: stack.enter_context(
            Client.connect(address, agent, *SPACE, **options)
        )


@pytest.fixture
def admin(address: tuple[str, int]) -> Iterator[Client]:
    with Client.connect(address, role="admin") as found:
        yield found


def run(title: str, **names: Any) -> dict[str, Any]:
    """Run the page's piece of that title; what it leaves behind."""
    RUN.add(title)
    names |= {"FIRST": FIRST, "MID": MID, "TERMINATED": TERMINATED, "TRUNCATED": TRUNCATED}
    exec(PIECES[title], names | {"Client": Client}, names)
    return names


def begin(client: Client, game: Game) -> Game:
    """Send the first row of an episode and play its answer."""
    game.play(client.step(game.see(), 0.0, FIRST).actions[0])
    return game


def test_await_the_action(connect) -> None:
    client, game = connect("await"), Game()
    for _ in range(5):
        run("await the action", client=client, game=game)
    assert game.frames == 5


def test_play_on(connect, admin) -> None:
    """One answer a frame, a frame old; the guard sees what it did."""
    client, game = connect("guard"), Game()
    for frame in range(5):
        run("play on", client=client, game=game)
        assert (game.frames, client.pending) == (frame + 1, 0)
    assert admin.info("guard")["config"]["dqn"]["last_actions"] == 1


def test_frame_skip(connect, admin) -> None:
    client, game = connect("skip"), Game()
    action = client.step(game.see(), 0.0, FIRST).actions[0]
    found = run("hold an action for four frames", client=client, game=game, action=action)
    client.step(game.see(), 0.0, TERMINATED)
    assert (found["total"], game.frames) == (2.0, 4)
    assert admin.stats("skip").agents["skip"]["return_mean"] == 2.0


def test_frames_that_take_longer(address, admin) -> None:
    found = run("say how long it took", address=address, game=Game())
    with found["client"] as client, pytest.raises(DataRefused, match="elapsed"):
        client.step(np.zeros(2, np.float32), 0.0, MID, elapsed=0.0)
    assert admin.info("guard")["config"]["dqn"]["horizon_s"] == 5


def test_a_pause_with_poll(connect) -> None:
    client = connect("pause")
    game, end = begin(client, Game()), time.monotonic() + 1.5

    def paused() -> bool:
        time.sleep(0.05)
        return time.monotonic() < end

    game.paused = paused  # type: ignore[attr-defined]
    run("the menu is open", client=client, game=game)
    assert client.reconnects == 0


def test_a_pause_without_poll_resumes(connect, admin) -> None:
    client = connect("asleep")
    game, end = begin(client, Game()), time.monotonic() + 30
    while admin.stats("asleep").agents["asleep"]["connections"]:
        assert time.monotonic() < end, "the daemon did not miss it"
        time.sleep(0.05)
    assert client.step(game.see(), game.reward, MID).actions[0] in range(3)
    assert client.reconnects == 1


def test_quick_load(connect) -> None:
    client = connect("load")
    game = begin(client, Game())
    with pytest.raises(DataRefused, match="BAD_KIND"):
        client.step(game.see(), 0.0, FIRST)
    run("a save is loaded", client=client, game=game)
    assert client.step(game.see(), 0.0, MID).actions[0] in range(3)


def test_a_new_scene(connect, address) -> None:
    client = connect("scene")
    game = begin(client, Game())
    found = run("the level changes", client=client, game=game)
    assert game.level == 2
    assert found["act"].actions[0] == -1
    with pytest.raises(Refused, match="SCHEMA_MISMATCH"):
        Client.connect(address, "scene", ("float32", (3,)), 3)


def test_characters_that_come_and_go(address, admin) -> None:
    found = run("everyone who lives, in one frame", address=address, a=Game(), b=Game(), c=Game())
    facts = admin.stats("crowd").agents["crowd"]
    assert (facts["rows"], facts["frames"], facts["return_mean"]) == (7, 4, -1.0)
    found["crowd"].close()


def test_self_play(connect) -> None:
    client, game = connect("duel", streams=2), Game()
    client.step([game.see(0), game.see(1)], 0.0, FIRST)
    run("both sides", client=client, game=game)
    assert game.fought is not None


def test_a_person_takes_over(connect, admin) -> None:
    client = connect("guard")
    game = begin(client, Game())
    for _ in range(30):
        run("the person has the controls", client=client, game=game)
    end = time.monotonic() + 30
    while not admin.stats("guard").agents["guard"].get("demonstrations"):
        assert time.monotonic() < end, "no demonstration was drawn"
        run("the person has the controls", client=client, game=game)
        time.sleep(0.05)
    with pytest.raises(DataRefused, match="BAD_TAKEN"):
        client.step(game.see(), 0.0, MID, taken=7, by="person")


def test_settings_reach_the_game(connect, admin) -> None:
    client = connect("guard")
    game, end = begin(client, Game()), time.monotonic() + 10
    with pytest.raises(KeyError):
        client.settings["wind"]
    while client.settings.get("wind") is None and time.monotonic() < end:
        with contextlib.suppress(KeyError):  # it is on its way
            run("a harder world", client=client, game=game, admin=admin)
    assert game.wind == 0.5  # type: ignore[attr-defined]
    with connect("guard") as later:
        assert later.settings["wind"] == 0.5


def test_release(connect, admin, address) -> None:
    trainer = connect("guard")
    game = begin(trainer, Game())
    trainer.step(game.see(), 1.0, TERMINATED)
    found = run("the last day", address=address, game=game, admin=admin)
    with found["player"] as player:
        for _ in range(10):
            player.step(game.see(), 0.0, TERMINATED)
            assert player.step(game.see(), 0.0, FIRST).actions == found["act"].actions
    before = admin.stats("guard").agents["guard"]["updates"]
    for kind in (FIRST, *itertools.repeat(MID, 20)):
        trainer.step(game.see(), 0.0, kind)
    after = admin.stats("guard").agents["guard"]
    assert (after["updates"], after["frozen"], after["state"]) == (before, True, "frozen")
    judge = connect("guard", role="eval")
    judge.step(game.see(), 0.0, FIRST)
    judge.step(game.see(), 3.0, TERMINATED)
    assert admin.stats("guard").agents["guard"]["eval_return_mean"] == 3.0


def test_every_piece_of_the_page_was_run() -> None:
    missing = PIECES.keys() - RUN
    if len(RUN) < 3:
        pytest.skip("the tests before it were left out")
    assert not missing
