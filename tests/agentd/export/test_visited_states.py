"""A trained CartPole agent in int8 chooses as before, on states that it meets as it plays.

Its states are close to each other in value: what rounds weights to the nearest fails here.
"""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from agentd.assembly.network import network_for
from agentd.cli import main
from agentd.config import load_preset
from agentd.engine.network import Network, Pass
from agentd.engine.network.weights import join
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.quantization import quantize
from agentd.games.cartpole import CartPole
from agentd.games.game import TimeStep
from agentd.learner.begin import write_first_checkpoint
from agentd.memory.layout import RingLayout
from agentd.memory.replay_ring import ReplayRing
from agentd.protocol.schema import Schema
from agentd.server.agents.stored import StoredAgents

WEIGHTS = Path(__file__).with_name("cartpole.npz")
"""Of the preset ``cartpole`` after 21,601 updates; it stands for 500 steps."""
SCHEMA = Schema.from_wire(
    {"state": {"dtype": "float32", "shape": [4]}}, {"kind": "discrete", "n": 2}
)
FRAMES, STREAMS = 400, 20


class Played(NamedTuple):
    """What a game showed, frame by frame, and the actions that followed."""

    frames: list[TimeStep]
    actions: list[NDArray[np.int32]]

    @property
    def states(self) -> NDArray[np.float32]:
        """All states of all streams, (n, 4)."""
        return np.concatenate([frame.obs["state"] for frame in self.frames])


@pytest.fixture(scope="module")
def trained() -> tuple[Network, NDArray[np.float32]]:
    network = network_for(load_preset("cartpole").agent, SCHEMA, acting=True)
    with np.load(WEIGHTS) as file:
        return network, join(network, dict(file))


def play(network: Network, flat: NDArray[np.float32], epsilon: float, seed: int) -> Played:
    """Play as the agent does, with ``epsilon`` of the actions at random."""
    game, rng, played = (
        CartPole(STREAMS, np.random.default_rng(seed)),
        np.random.default_rng(seed),
        Played([], []),
    )
    run = Pass(network, NumPyBackend(), 2 * STREAMS)
    frame = game.reset()
    for _ in range(FRAMES):
        action = np.asarray(run.forward(flat, frame.obs["state"])).argmax(1).astype(np.int32)
        chance = rng.random(len(action)) < epsilon
        action[chance] = rng.integers(0, 2, int(chance.sum()))
        played.frames.append(frame)
        played.actions.append(action)
        live = np.flatnonzero(frame.kind < 2)  # an ended stream has a second row, its next first
        order = live[np.argsort(frame.stream[live])]
        frame = game.step(action[order])
    return played


def same_choice(network: Network, one: Any, two: Any, states: NDArray[np.float32]) -> float:
    run = Pass(network, NumPyBackend(), len(states))
    best = [np.array(run.forward(flat, states)).argmax(1) for flat in (one, two)]
    return float((best[0] == best[1]).mean())


def test_fitted_to_other_games_it_chooses_the_same(
    trained: tuple[Network, NDArray[np.float32]],
) -> None:
    network, flat = trained
    seen, met = play(network, flat, 0.1, seed=1), play(network, flat, 0.0, seed=2)
    found = quantize(network, flat, seen.states)
    assert same_choice(network, flat, found.flat, met.states) >= 0.99
    assert same_choice(network, flat, quantize(network, flat).flat, met.states) < 0.97
    assert 3.2 < 4 * len(flat) / found.nbytes < 4


def test_an_export_is_fitted_to_the_agents_own_rows(
    trained: tuple[Network, NDArray[np.float32]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    network, flat = trained
    config, stored = load_preset("cartpole").agent, StoredAgents(tmp_path / "agents")
    stored.make_root()
    folder = stored.folder("cart")
    write_first_checkpoint(folder / "checkpoints", config, SCHEMA, flat)
    stored.bind("cart", SCHEMA)
    stored.write_config("cart", config)
    fill_ring(folder / "replay" / "rows.ring", play(network, flat, 0.1, seed=3))
    words = ["export", "cart", "--data-dir", str(tmp_path), "--to", "c", "--int8", "--check"]
    out = ["--states", "4000", "--out", str(tmp_path / "cart.h"), "--json"]
    assert main([*words, *out]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["fitted_rows"] >= FRAMES * STREAMS // 2
    assert record["check"]["share"] >= 0.99


def fill_ring(path: Path, played: Played) -> None:
    """Write what was played as a daemon writes it."""
    path.parent.mkdir(parents=True)
    layout = RingLayout(SCHEMA.row_bytes, 2, 1, SCHEMA.digest())
    ring = ReplayRing.open(path, layout, 2 * FRAMES * STREAMS)
    for frame, action in zip(*played, strict=True):
        obs = frame.obs["state"].astype("<f4").view(np.uint8)
        played_action = np.where(frame.kind < 2, action, -1).astype(np.int32)[:, None]
        stream = frame.stream.astype(np.int64)
        ring.append(obs, None, played_action, frame.reward, frame.kind, 0, stream, 1, 1, 1)
    ring.close()
