"""Targets of Connect Four that are searched for: against searches by hand, and what is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agentd.assembly.budget import estimate
from agentd.assembly.learner import learner_for
from agentd.assembly.network import network_for
from agentd.assembly.rows import format_of
from agentd.config import AgentConfig, ConfigError, LimitsConfig, agent_config_from_wire
from agentd.engine.errors import ModelError
from agentd.engine.learners.dqn_config import SearchConfig
from agentd.engine.network import Pass
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.replay.rows import FIRST, MID, RowFormat, Rows
from agentd.games.connect4 import COLUMNS, ROWS, ConnectFour, has_four
from agentd.protocol.schema import Schema
from agentd.simulated import look_ahead

BOARD = {"board": {"dtype": "uint8", "shape": [ROWS, COLUMNS, 5]}}
SCHEMA = Schema.from_wire(BOARD, {"kind": "discrete", "n": COLUMNS})
GAMMA = 0.9
DQN = {"alternating": True, "n_step": 1, "gamma": GAMMA, "batch": 1}
CPU = NumPyBackend()
GAME = ConnectFour(1, np.random.default_rng(0))


def config_of(plies: int = 2, **dqn: Any) -> AgentConfig:
    """An agent of few weights that searches for its targets."""
    search = {"game": "connect4", "plies": plies}
    model = {"layers": [{"dense": 8}, "relu"]}
    return agent_config_from_wire(
        {"loss": "mse", "model": model, "dqn": {**DQN, "search": search, **dqn}}
    )


def board(*rows: str) -> np.ndarray:
    """A position (1, 42) from its lowest rows, ``x`` the side that moves next."""
    lines = ["." * COLUMNS] * (ROWS - len(rows)) + list(rows)
    numbers = {".": 0, "x": 1, "o": -1}
    return np.array([[numbers[mark] for line in lines for mark in line]], np.int8)


def rows_of(position: np.ndarray) -> np.ndarray:
    """What a batch's row shows of a position, (1, 210) float32."""
    return GAME.look(position)["board"].reshape(1, -1).astype(np.float32)


def any_values(x: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Values that say nothing, but the same of the same position: hashes in (-1, 1)."""
    weights = np.cos(np.arange(x.shape[1]))[:, None] * np.arange(1, COLUMNS + 1)
    return np.sin(x @ weights).astype(np.float32)


def by_hand(position: np.ndarray, plies: int, values: Callable[..., np.ndarray]) -> list[float]:
    """What each legal action is worth to the side that moves, move by move."""
    legal = GAME.moves(position)
    if plies == 0:
        return np.clip(values(rows_of(position), legal)[legal], -1, 1).tolist()
    found = []
    for action in np.flatnonzero(legal[0]):
        after, won, drawn = GAME.outcome(position, np.array([action]))
        if won[0] or drawn[0]:
            found.append(float(won[0]))
        else:
            found.append(-GAMMA * max(by_hand(after, plies - 1, values)))
    return found


WON = board("xxx....")
LOST = board("..xx...", "..ooo..")  # two ends are open
LAST = board("xxooxx.", "ooxxoox", "xxooxxo", "ooxxoox", "xxooxxo", "ooxxoox")  # a draw is left
QUIET = board("...ox..")
EMPTY = board()


def test_the_last_move_is_a_draw() -> None:
    for side in (1, -1):
        assert not has_four(LAST * np.int8(side), np.ones(1, np.int8))[0]
    _, won, drawn = GAME.outcome(LAST, np.array([6]))
    assert (won[0], drawn[0]) == (False, True)


@pytest.mark.parametrize(
    ("position", "plies", "expected"),
    [(WON, 1, 1.0), (WON, 3, 1.0), (LOST, 2, -GAMMA), (LOST, 3, -GAMMA), (LAST, 1, 0.0)],
)
def test_wins_losses_and_draws_are_exact(position: np.ndarray, plies: int, expected: float) -> None:
    ahead = look_ahead(SearchConfig(game="connect4", plies=plies), format_of_board(), GAMMA)

    found = ahead.search(rows_of(position), any_values)[0]

    assert found.max() == np.float32(expected)
    assert ((found == -np.inf) == ~GAME.moves(position)[0]).all()


@pytest.mark.parametrize("plies", [1, 2])
def test_quiet_positions_are_worth_what_recursion_finds(plies: int) -> None:
    """Of random games, many at once."""
    world = ConnectFour(12, np.random.default_rng(7), opening=30)
    world.begin(np.arange(12))
    positions = world.positions(np.arange(12))
    x = np.concatenate([rows_of(position[None]) for position in positions])
    ahead = look_ahead(SearchConfig(game="connect4", plies=plies), format_of_board(), GAMMA)

    found = ahead.search(x, any_values)

    assert ((found == -np.inf) == ~GAME.moves(positions)).all()
    for q, position in zip(found, positions, strict=True):
        wanted = by_hand(position[None], plies, any_values)
        np.testing.assert_allclose(q[q > -np.inf], wanted, rtol=0, atol=1e-5)


def format_of_board() -> RowFormat:
    return format_of(AgentConfig(), SCHEMA)


def ring_of(position: np.ndarray, action: int) -> Rows:
    """A ring of one move and a reward that no rule gives: what came of the move counts nothing."""
    both = np.concatenate((position, EMPTY))
    masks = GAME.moves(both)
    return Rows(
        format=format_of_board(),
        obs=GAME.look(both)["board"].reshape(2, -1),
        mask_bits=np.packbits(masks, axis=1),
        action=np.array([[action], [-1]], np.int32),
        reward=np.array([0, 7], np.float32),
        kind=np.array([FIRST, MID], np.uint8),
        next=np.array([1, -1]),
        explored=np.zeros(2, np.uint8),
        stream=np.zeros(2, np.uint32),
        version=np.zeros(2, np.uint64),
        has_masks=True,
    )


POSITIONS = {"won": WON, "lost": LOST, "last": LAST, "quiet": QUIET, "empty": EMPTY}


@pytest.mark.parametrize("plies", [1, 2])
@pytest.mark.parametrize("name", POSITIONS)
def test_each_legal_action_has_the_target_of_a_search_by_hand(name: str, plies: int) -> None:
    """The learner's error tells its targets; network and search by hand tell what they should be.

    By the signs of two sides: what the next mover has is lost to this one.
    """
    position, config = POSITIONS[name], config_of(plies)
    rows, network = ring_of(position, 6), network_for(config, SCHEMA)
    learner = learner_for(config, network, CPU, rows.format)
    first = CPU.asarray(CPU.to_host(learner.params).copy())
    run = Pass(network, CPU, 1)

    def values(x: np.ndarray, legal: np.ndarray) -> np.ndarray:
        return np.array(CPU.to_host(run.forward(first, x.reshape(1, *network.input_shape))))

    learner.update(rows, 0, 2)

    legal = GAME.moves(position)
    q = values(rows_of(position), legal)
    error = np.abs(q[legal] - by_hand(position, plies, values))
    figures = learner.stats
    assert figures["q_mean"] == pytest.approx(q[0, 6], abs=1e-5)
    assert figures["td_abs"] == pytest.approx(error.mean(), abs=1e-5)
    assert figures["loss"] == pytest.approx(0.5 * np.square(error).sum(), abs=1e-4)


REFUSED = {
    "a name": (
        {"search": {"game": "chess"}},
        "chess is no game of agentd; expected one of connect4",
    ),
    "one side": ({"search": {"game": "cartpole"}}, "cartpole cannot be simulated move by move"),
    "ours": ({"search": {"game": "connect4-search"}}, "connect4-search cannot be simulated"),
    "at once": ({"search": {"game": "duel"}}, "duel cannot be simulated"),
    "too far": ({"search": {"game": "connect4", "plies": 5}}, "plies: .*expected .*4.*got 5"),
    "no plies": ({"search": {"game": "connect4", "plies": 0}}, "plies: .*expected .*1.*got 0"),
    "signs": ({"alternating": False}, "wants dqn.alternating true, got false"),
    "shares": ({"distribution": "categorical"}, "wants dqn.distribution none, got categorical"),
    "quantiles": ({"distribution": "quantile"}, "wants dqn.distribution none, got quantile"),
    "entropy": ({"munchausen": True}, "wants dqn.munchausen False, got True"),
    "stack": ({"frame_stack": 2}, "wants dqn.frame_stack 1, got 2"),
    "late": ({"last_actions": 1}, "wants dqn.last_actions 0, got 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_search_cannot_have_is_refused_by_name(case: str) -> None:
    changed, named = REFUSED[case]
    with pytest.raises(ConfigError, match=named):
        config_of(**changed)


@pytest.mark.parametrize(
    ("agent", "named"),
    [
        ({"learner": "pqn", "pace": {"updates": 4}}, "dqn.search .* is for learner dqn: pqn"),
        ({"learner": "none"}, "dqn.search .* is for learner dqn: none"),
        ({"reward": {"scale": 2.0}}, "wants `reward` as it is without an entry, got .*scale=2.0"),
        ({"model": {"layers": [{"gru": 8}]}}, "`gru` remembers.*no dqn.search with it"),
    ],
)
def test_so_are_other_learners_rewards_and_networks(agent: dict[str, Any], named: str) -> None:
    search = {"game": "connect4"}
    with pytest.raises(ConfigError, match=named):
        agent_config_from_wire({"dqn": {**DQN, "search": search}, **agent})


OTHERS = [
    ({"x": {"dtype": "float32", "shape": [4]}}, 3),
    ({"board": {"dtype": "float32", "shape": [ROWS, COLUMNS, 5]}}, 7),
    ({"board": {"dtype": "uint8", "shape": [ROWS, COLUMNS, 3]}}, 7),
    (BOARD, 6),
]


@pytest.mark.parametrize(("observation", "actions"), OTHERS)
def test_rows_of_another_game_are_refused(observation: dict[str, Any], actions: int) -> None:
    schema = Schema.from_wire(observation, {"kind": "discrete", "n": actions})
    config = config_of()
    given = config, network_for(config, schema), CPU, format_of(config, schema)
    wanted = (
        r"dqn.search.game connect4: expected rows of board uint8 \(6, 7, 5\) and branches \(7,\)"
    )
    with pytest.raises(ModelError, match=wanted):
        learner_for(*given)


def test_a_search_counts_in_the_estimate_of_memory() -> None:
    """Two plies of 128 rows are 6,272 positions, and two more 49 times as many."""
    taken = [
        estimate(config_of(plies, batch=128), SCHEMA, LimitsConfig()).memory["batches"]
        for plies in (1, 2, 4)
    ]
    assert taken[1] - taken[0] > 4 * 210 * 128 * (49 - 7)
    assert taken[2] - taken[1] > 4 * 210 * 128 * (2401 - 49)
