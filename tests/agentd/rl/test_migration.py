"""A sensor and an action more (R20): as good as before at once, and better once it has learned.

A ball falls into one of five cups. Two of them lie in the fog: who sees it only there where it is
clear can catch four balls of five at best. The radar sees into the fog.
"""

import numpy as np
import pytest

from agentd.client import FIRST, MID, TERMINATED, Client
from agentd.rl.daemon import Daemon

CUPS, CLEAR, STEPS, STREAMS = 5, 3, 6, 8
FOG = {"cup": ("float32", (CUPS,)), "ball": ("float32", (CLEAR,)), "height": ("float32", ())}
RADAR = {"radar": ("float32", (CUPS - CLEAR,)), **FOG}
CONFIG = {
    "seed": 1,
    "model": {"layers": [{"dense": 48}, "relu", {"dense": 48}, "relu"]},
    "optimizer": {"name": "adam", "lr": 1e-3},
    "dqn": {"gamma": 0.95, "n_step": 3, "batch": 64, "target": {"every": 100, "tau": None}},
    "replay": {"capacity": 20000},
    "pace": {"mode": "paced", "learn_start": 256, "train_every": 64, "updates": 16},
    "exploration": {"start": 1.0, "end": 0.05, "steps": 4000},
}


class Cups:
    """STREAMS games that begin and end together: ``play`` is one episode of each."""

    def __init__(self, client: Client, seed: int, *, radar: bool) -> None:
        self.client, self._rng, self._radar = client, np.random.default_rng(seed), radar

    def play(self) -> float:
        """Play an episode of every game; the mean return."""
        ball, cup = self._rng.integers(CUPS, size=STREAMS), np.full(STREAMS, CUPS // 2)
        reward = np.zeros(STREAMS, np.float32)
        for step in range(STEPS + 1):
            kind = FIRST if step == 0 else TERMINATED if step == STEPS else MID
            if kind == TERMINATED:
                reward = np.where(cup == ball, 1.0, -1.0).astype(np.float32)
            act = self.client.step(self.sensors(ball, cup, step), reward, kind)
            move = np.array([-1, 0, 1, 2])[act.actions]  # the new action goes two cups on
            cup = np.clip(cup + move, 0, CUPS - 1) if kind != TERMINATED else cup
        return float(reward.mean())

    def sensors(self, ball, cup, step: int) -> dict[str, np.ndarray]:
        where = np.eye(CUPS, dtype=np.float32)
        seen = {
            "cup": where[cup],
            "ball": where[ball][:, :CLEAR],
            "height": np.full(STREAMS, step / STEPS, np.float32),
        }
        return seen | ({"radar": where[ball][:, CLEAR:]} if self._radar else {})


def connect(daemon: Daemon, agent: str, observation, actions: int, role: str = "train") -> Client:
    address = (daemon.host, daemon.port)
    more = {"explain": True} if role == "play" else {}
    return Client.connect(address, agent, observation, actions, role=role, streams=STREAMS, **more)


def train(daemon: Daemon, agent: str, observation, actions: int, episodes: int, seed: int) -> int:
    """Play and learn; the version of the last answer."""
    with connect(daemon, agent, observation, actions) as client:
        game = Cups(client, seed, radar=observation is RADAR)
        for _ in range(episodes):
            game.play()
        return client.version


def judge(daemon: Daemon, agent: str, observation, actions: int, episodes: int) -> float:
    """The mean greedy return of STREAMS times so many episodes, the same ones for everybody."""
    with connect(daemon, agent, observation, actions, "eval") as client:
        game = Cups(client, 99, radar=observation is RADAR)
        return float(np.mean([game.play() for _ in range(episodes)]))


def values(daemon: Daemon, agent: str, obs: dict[str, np.ndarray], actions: int) -> np.ndarray:
    """What an agent says of its actions, (STREAMS, actions)."""
    observation = {name: (part.dtype, part.shape[1:]) for name, part in obs.items()}
    with connect(daemon, agent, observation, actions, "play") as client:
        return client.step(obs, 0.0, FIRST).q


def some_sensors(rng: np.random.Generator, observation) -> dict[str, np.ndarray]:
    return {
        name: rng.normal(size=(STREAMS, *shape)).astype(np.float32)
        for name, (_, shape) in observation.items()
    }


def test_a_sensor_and_an_action_more_change_nothing_and_learning_goes_on(tmp_path):
    rng = np.random.default_rng(5)
    with (
        Daemon(tmp_path) as daemon,
        Client.connect((daemon.host, daemon.port), role="admin") as admin,
    ):
        admin.create("old", CONFIG)
        version = train(daemon, "old", FOG, 3, 40, seed=2)
        assert version > 0
        greedy = judge(daemon, "old", FOG, 3, 4)

        made = admin.migrate("old", "new", RADAR, 4)

        assert made.step >= version
        for _ in range(4):
            seen = some_sensors(rng, RADAR)
            before = values(daemon, "old", {name: seen[name] for name in FOG}, 3)
            after = values(daemon, "new", seen, 4)
            np.testing.assert_allclose(after[:, :3], before, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(after[:, 3], before.mean(axis=1), rtol=1e-4, atol=1e-5)
            assert (after.argmax(axis=1) == before.argmax(axis=1)).all()
            blind = values(daemon, "new", seen | {"radar": 100 * seen["radar"]}, 4)
            np.testing.assert_allclose(blind, after, rtol=1e-6, atol=1e-6)
        assert judge(daemon, "new", RADAR, 4, 4) == greedy
        stats = admin.stats("new").agents["new"]
        assert (stats["lost"], stats["epsilon"] < 1.0) == ([], True)

        assert train(daemon, "new", RADAR, 4, 12, seed=3) > made.step
        seen = some_sensors(rng, RADAR)
        sees = values(daemon, "new", seen, 4)
        assert (
            np.abs(values(daemon, "new", seen | {"radar": -seen["radar"]}, 4) - sees).max() > 0.01
        )
        assert np.abs(values(daemon, "old", {n: seen[n] for n in FOG}, 3) - sees[:, :3]).max() > 0


@pytest.mark.long
def test_a_sensor_that_helps_is_learned_from_where_the_old_agent_stood(tmp_path, capsys):
    """The figures are printed: `pytest -s -m long`."""
    told = {}
    with (
        Daemon(tmp_path) as daemon,
        Client.connect((daemon.host, daemon.port), role="admin") as admin,
    ):
        for name in ("old", "anew"):
            admin.create(name, CONFIG)
        train(daemon, "old", FOG, 3, 200, seed=2)
        told["before"] = judge(daemon, "old", FOG, 3, 50)
        admin.migrate("old", "new", RADAR, 4)
        told["at once"] = judge(daemon, "new", RADAR, 4, 50)
        played = 0
        for upto in (8, 16, 32, 64):
            for name in ("new", "anew"):
                train(daemon, name, RADAR, 4, upto - played, seed=10 + upto)
                told[f"{name} after {upto * STREAMS}"] = judge(daemon, name, RADAR, 4, 50)
            played = upto
    with capsys.disabled():
        print("\n" + "\n".join(f"{key:>18}  {value:+.3f}" for key, value in told.items()))
    assert told["at once"] == told["before"]
    assert 0.4 <= told["before"] <= 0.75
    assert told["new after 512"] >= 0.9
