"""An independent client plays Catch until its agent plays it well: the whole path, over TCP."""

import struct
import time
from typing import Any

import numpy as np

FIRST, MID, TERMINATED = 0, 1, 2
ROWS, COLUMNS = 10, 5
STREAMS = 8
CONFIG = {
    "learner": "dqn",
    "seed": 1,
    "model": {"layers": [{"dense": 64}, "relu"]},
    "optimizer": {"name": "adam", "lr": 0.001},
    "dqn": {"gamma": 0.99, "batch": 64, "target": {"every": 200, "tau": None}},
    "replay": {"capacity": 20000},
    "pace": {"mode": "paced", "learn_start": 512, "train_every": 8, "updates": 4},
    "exploration": {"start": 1.0, "end": 0.05, "steps": 6000},
}


class Catch:
    """A ball falls one row a step; the paddle in the last row goes left, stays or goes right.

    Observation: float32 (10, 5), 1 where the ball or the paddle is. Reward: 1 when the paddle is
    under the ball as it arrives, else -1; 0 before. An episode takes 9 steps.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.reset()

    def reset(self) -> None:
        self.row, self.column = 0, int(self.rng.integers(COLUMNS))
        self.paddle = COLUMNS // 2

    def step(self, action: int) -> tuple[float, bool]:
        """Reward and whether the episode is over."""
        self.paddle = min(max(self.paddle + action - 1, 0), COLUMNS - 1)
        self.row += 1
        if self.row < ROWS - 1:
            return 0.0, False
        return (1.0 if self.paddle == self.column else -1.0), True

    def board(self) -> bytes:
        cells = np.zeros((ROWS, COLUMNS), "<f4")
        cells[self.row, self.column] = 1.0
        cells[ROWS - 1, self.paddle] = 1.0
        return cells.tobytes()


class Table:
    """Several games of Catch on one connection; an ended one resets within the same frame."""

    def __init__(self, client: Any, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.client = client
        self.games = [Catch(rng) for _ in range(STREAMS)]
        self.actions = [0] * STREAMS
        self.begun = False
        self.returns: list[float] = []

    def play(self) -> int:
        """One step of every game; the number of rows it took."""
        rows: list[tuple[int, int, float, bytes]] = []
        for stream, game in enumerate(self.games):
            if not self.begun:
                rows.append((stream, FIRST, 0.0, game.board()))
                continue
            reward, over = game.step(self.actions[stream])
            rows.append((stream, TERMINATED if over else MID, reward, game.board()))
            if over:
                self.returns.append(reward)
        for stream, kind, _, _ in list(rows):
            if kind == TERMINATED:
                self.games[stream].reset()
                rows.append((stream, FIRST, 0.0, self.games[stream].board()))
        self.begun = True
        self._say(rows)
        return len(rows)

    def _say(self, rows: list[tuple[int, int, float, bytes]]) -> None:
        n = len(rows)
        streams, kinds, rewards, boards = zip(*rows, strict=True)
        answer = self.client.act(
            list(kinds),
            list(streams),
            reward=struct.pack(f"<{n}f", *rewards),
            obs={"board": b"".join(boards)},
        )
        for stream, kind, action in zip(streams, kinds, answer["actions"], strict=True):
            assert (action == -1) == (kind == TERMINATED)
            if kind != TERMINATED:
                self.actions[stream] = action


def test_an_agent_of_a_raw_client_learns_catch(serve: Any) -> None:
    daemon = serve()
    admin = daemon.client()
    admin.greet(agent=None, role="admin", observation=None, action=None, streams=None)
    assert admin.ask("create", agent="catcher", config=CONFIG)["type"] == "created"
    space = {
        "observation": {"board": {"dtype": "float32", "shape": [ROWS, COLUMNS]}},
        "action": {"kind": "discrete", "n": 3},
        "streams": STREAMS,
    }
    training, judged = daemon.client(), daemon.client()
    training.greet("catcher", **space)
    judged.greet("catcher", role="eval", **space)
    learning, greedy = Table(training, seed=2), Table(judged, seed=3)
    mean, rows, end = -1.0, 0, time.monotonic() + 90

    while mean < 0.9:
        assert time.monotonic() < end, f"greedy mean return {mean} after {rows} rows"
        for _ in range(200):
            rows += learning.play()
        greedy.returns.clear()
        while len(greedy.returns) < 64:
            greedy.play()
        mean = float(np.mean(greedy.returns[:64]))

    stats = admin.ask("stats", agent="catcher")["agents"]["catcher"]
    assert stats["version"] > 0
    assert rows <= 60_000
    daemon.stop()
