"""What an environment hands out is held against what it says: refused by name, or read as meant."""

from __future__ import annotations

import logging

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")

from gymnasium import spaces  # noqa: E402
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv  # noqa: E402

from agentd.client import TERMINATED  # noqa: E402
from agentd.client.gym import GymGame  # noqa: E402
from agentd.client.gym_actions import ActionCoder  # noqa: E402
from agentd.client.gym_checks import CheckedEnv, one_number  # noqa: E402
from agentd.client.gym_spaces import Misfit, leaves  # noqa: E402
from agentd.protocol.schema import Schema  # noqa: E402


class Says(gymnasium.Env):
    """Hands out what it is given; ends after three steps."""

    def __init__(self, observation, looks, action=None, reward=1.0, info=None):
        self.observation_space, self.looks = observation, looks
        self.action_space = spaces.Discrete(3) if action is None else action
        self.reward, self.info, self.t = reward, info or {}, 0
        self.played = []

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return self.looks, self.info

    def step(self, action):
        self.t += 1
        self.played.append(action)
        return self.looks, self.reward, self.t >= 3, False, self.info


class Method(Says):
    def action_masks(self):
        return np.array([False, True, self.t > 0])


U8 = spaces.Box(0, 255, (4,), np.uint8)
F32 = spaces.Box(-np.inf, np.inf, (2,), np.float32)


@pytest.mark.parametrize(
    ("space", "looks", "told"),
    [
        (U8, np.full(4, 0.5, np.float32), "obs: want uint8, as its space says, got float32"),
        (U8, np.array([0, 1, 2, 300]), "obs: want numbers of uint8, got 300"),
        (U8, np.array([0, 1, 2, -1]), "obs: want numbers of uint8, got -1"),
        (U8, np.zeros((2, 2), np.uint8), r"obs: want shape \(4,\), got \(2, 2\)"),
        (U8, "walls", r"obs: want shape \(4,\), got \(\)"),
        (U8, [[1], [1, 2]], r"obs: want numbers of shape \(4,\), got list"),
        (U8, None, r"obs: want shape \(4,\), got \(\)"),
        (spaces.Discrete(5), -1, r"obs: want a number in 0\.\.4, got -1"),
        (spaces.Discrete(5, start=2), 7, r"obs: want a number in 2\.\.6, got 7"),
        (spaces.Discrete(5), 2.0, "obs: want whole numbers, as its space says, got float64"),
        (spaces.MultiDiscrete([2, 3]), np.array([0, 3]), r"want a number in 0\.\.2, got 3"),
        (spaces.MultiBinary(2), np.array([0, 2]), "obs: want zeros and ones, got 2"),
        (spaces.MultiBinary(2), np.array([0.0, 1.0]), "obs: want zeros and ones, got float64"),
        (F32, np.array([0, np.nan], np.float32), "obs: want finite numbers of float32, got nan"),
        (F32, np.array([0, 1e300]), r"obs: want finite numbers of float32, got 1e\+300"),
        (spaces.Dict({"a": F32, "b": F32}), {"a": np.zeros(2)}, "b: want this part"),
        (spaces.Box(-9, 9, (1,), np.float16), np.array([7e4]), "want finite numbers of float16"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_does_not_fit_its_space_is_refused_by_name(space, looks, told):
    with pytest.raises(Misfit, match=told):
        GymGame(Says(space, looks)).reset()
    with pytest.raises(Misfit, match=told):
        CheckedEnv(Says(space, looks)).reset()


@pytest.mark.parametrize(
    ("reward", "told"),
    [
        (np.zeros(2), r"reward: want one number, got an array of shape \(2,\)"),
        (None, "reward: want one number, got NoneType"),
        ("1.0", "reward: want one number, got str"),
        (float("nan"), "reward: want finite numbers of float32, got nan"),
        (1e39, r"reward: want finite numbers of float32, got 1e\+39"),
    ],
)
def test_a_reward_that_is_no_number_is_refused_by_name(reward, told):
    game = GymGame(Says(F32, np.zeros(2, np.float32), reward=reward))
    game.reset()
    with pytest.raises(Misfit, match=told):
        game.step(np.zeros(1, np.int32))


@pytest.mark.parametrize("reward", [np.array([1.0]), np.array([[1]]), True, np.bool_(True), [1.0]])
def test_a_reward_may_be_an_array_of_one_number_or_a_truth(reward):
    assert one_number(reward) == 1.0
    env = Says(F32, np.zeros(2, np.float32), reward=reward)
    vector = SyncVectorEnv([lambda: CheckedEnv(env)])
    for game in (GymGame(env), GymGame(vector)):
        game.reset()
        assert game.step(np.zeros(1, np.int32)).reward.tolist() == [1.0]


def test_numbers_outside_the_bounds_are_sent_and_told_once(caplog):
    game = GymGame(Says(spaces.Box(-1, 1, (2,)), np.array([0.0, 3.0], np.float32)))

    with caplog.at_level(logging.WARNING):
        game.reset()
        frame = game.step(np.zeros(1, np.int32))

    assert frame.obs["obs"].tolist() == [[0.0, 3.0]]
    assert [r.getMessage().split(" its ")[0] for r in caplog.records] == [
        "observation obs: 3.0 lies outside"
    ]


def test_the_answers_of_old_gym_are_told():
    class Old(Says):
        def step(self, action):
            return self.looks, 1.0, False, {}

    game = GymGame(Old(F32, np.zeros(2, np.float32)))
    game.reset()
    with pytest.raises(Misfit, match=r"step\(\): want \(observation, reward, terminated.*dict\)"):
        game.step(np.zeros(1, np.int32))

    class Older(Says):
        def reset(self, **options):
            return self.looks

    with pytest.raises(Misfit, match=r"reset\(\): want \(observation, info\), got ndarray"):
        GymGame(Older(F32, np.zeros(2, np.float32))).reset()


# -- masks ---------------------------------------------------------------------------------------


def in_the_observation():
    space = spaces.Dict({"see": F32, "action_mask": spaces.MultiBinary(3)})
    mask = np.array([0, 1, 0], np.int8)
    return Says(space, {"see": np.zeros(2, np.float32), "action_mask": mask})


PLACES = {
    'the observation\'s "action_mask"': in_the_observation,
    "action_masks()": lambda: gymnasium.wrappers.TimeLimit(
        Method(F32, np.zeros(2, np.float32)), 100
    ),
    'info["action_mask"]': lambda: Says(
        F32, np.zeros(2, np.float32), info={"action_mask": np.array([0, 1, 0], np.int8)}
    ),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mode", [None, *AutoresetMode])
def test_masks_are_found_in_each_of_the_three_usual_places(place, mode):
    env = PLACES[place]()
    if mode is not None:
        env = SyncVectorEnv([lambda: CheckedEnv(env)], autoreset_mode=mode)
    game = GymGame(env)
    assert game.masks_in == ""

    first, second = game.reset(), game.step(np.ones(1, np.int32))

    assert first.mask.tolist() == [[0, 1, 0]]
    assert second.mask[0, 0] == 0
    assert game.masks_in == place
    assert "action_mask" not in first.obs
    ended = [game.step(np.ones(1, np.int32)) for _ in range(2)][-1]
    assert ended.kind[0] == TERMINATED


def test_masks_are_asked_of_environments_in_other_processes():
    env = AsyncVectorEnv([lambda: Method(F32, np.zeros(2, np.float32)) for _ in range(2)])
    game = GymGame(env)
    try:
        assert game.reset().mask.tolist() == [[0, 1, 0], [0, 1, 0]]
    finally:
        game.close()


def test_a_mask_that_leaves_nothing_is_told():
    info = {"action_mask": np.zeros(3, np.int8)}
    with pytest.raises(Misfit, match="action_mask: want a legal action in every branch"):
        GymGame(Says(F32, np.zeros(2, np.float32), info=info)).reset()


def test_where_there_is_no_mask_none_is_found():
    other = spaces.Dict({"see": F32, "action_mask": spaces.MultiBinary(2)})  # of another size
    looks = {"see": np.zeros(2, np.float32), "action_mask": np.ones(2, np.int8)}
    game = GymGame(Says(other, looks))

    frame = game.reset()

    assert frame.mask is None
    assert (game.masks_in, sorted(frame.obs)) == ("", ["action_mask", "see"])


# -- spaces --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "branches"),
    [
        (spaces.Discrete(3, start=-1), 3),
        (spaces.MultiBinary(3), (2, 2, 2)),
        (spaces.MultiBinary((2, 2)), (2, 2, 2, 2)),
        (spaces.MultiDiscrete([2, 3], start=[5, 6]), (2, 3)),
        (spaces.MultiDiscrete([[2, 3], [4, 5]]), (2, 3, 4, 5)),
        (spaces.Tuple((spaces.Discrete(3), spaces.MultiBinary(1))), (3, 2)),
        (spaces.Dict({"a": spaces.Discrete(3, start=1), "b": spaces.Discrete(2)}), (3, 2)),
        (spaces.Dict({"a": spaces.Tuple((spaces.Discrete(2),)), "b": spaces.Discrete(4)}), (2, 4)),
    ],
)
def test_every_numbered_action_space_is_played(space, branches):
    coder = ActionCoder(space)
    assert coder.actions == branches
    sizes = np.atleast_1d(branches)
    rng = np.random.default_rng(0)
    single, vector = (
        Says(F32, np.zeros(2, np.float32), space),
        [Says(F32, np.zeros(2, np.float32), space) for _ in range(2)],
    )
    games = GymGame(single), GymGame(SyncVectorEnv([lambda env=env: env for env in vector]))
    for game in games:
        game.reset()
        for _ in range(2):
            actions = rng.integers(sizes, size=(game.streams, len(sizes))).astype(np.int32)
            game.step(actions if isinstance(branches, tuple) else actions[:, 0])

    for env in (single, *vector):
        assert len(env.played) == 2
        assert all(space.contains(played) for played in env.played), env.played


def test_the_branches_of_a_dict_are_those_of_its_parts_by_name():
    coder = ActionCoder(spaces.Dict({"move": spaces.Discrete(2), "jump": spaces.MultiBinary(1)}))

    played = coder.decode_one(np.array([[0, 1]]))

    assert (played["jump"].tolist(), played["move"]) == ([0], 1)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_names_that_cannot_be_sent_are_mapped_to_ones_that_can():
    one = spaces.Discrete(2)
    keys = ("agent pos", "agent_pos", "ziel/größe", "x" * 80, "x" * 81)
    found = leaves(spaces.Dict(dict.fromkeys(keys, one)))

    names = {leaf.path[0]: leaf.name for leaf in found}
    assert names["agent_pos"] == "agent_pos"
    assert names["agent pos"] == "agent_pos_2"
    assert names["ziel/größe"] == "ziel_gr__e"
    assert len(set(names.values())) == len(keys)
    Schema.from_wire({n: {"dtype": "uint8", "shape": [2]} for n in names.values()}, ACTION)


ACTION = {"kind": "discrete", "n": 2}


def test_grids_of_numbers_become_one_hot():
    (leaf,) = leaves(spaces.MultiDiscrete([[2, 2], [3, 1]], start=[[0, 5], [0, 0]]))

    hot = leaf.single(np.array([[1, 5], [2, 0]]))

    assert hot.tolist() == [[0, 1, 1, 0, 0, 0, 1, 1]]
