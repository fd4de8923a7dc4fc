"""Gymnasium environments as games: every autoreset mode gives the same story to the server."""

from __future__ import annotations

from functools import partial
from itertools import islice

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")

from gymnasium import spaces  # noqa: E402
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv  # noqa: E402

from agentd.client import FIRST, MID, TERMINATED, TRUNCATED  # noqa: E402
from agentd.client.gym import GymGame  # noqa: E402
from agentd.client.gym_actions import ActionCoder  # noqa: E402
from agentd.client.gym_spaces import leaves  # noqa: E402
from agentd.client.rollout import evaluate, join, play  # noqa: E402

MODES = list(AutoresetMode)


class Counting(gymnasium.Env):
    """Ends after ``length`` steps; observes (number, episode, t).

    With ``reuse`` it hands out the same array again and again, as some environments do. In
    SAME_STEP Gymnasium itself does not survive that.
    """

    def __init__(self, number=0, length=3, truncate=False, mask=False, both=False, reuse=False):
        self.observation_space = spaces.Box(-1e9, 1e9, (3,), np.float64)
        self.action_space = spaces.Discrete(3, start=5)
        self.number, self.length = number, length
        self.truncate, self.mask, self.both, self.reuse = truncate, mask, both, reuse
        self.episode = self.t = 0
        self.obs = np.zeros(3)
        self.actions = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode += 1
        self.t = 0
        return self._obs(), self._info()

    def step(self, action):
        assert self.action_space.contains(action)
        self.actions.append(int(action))
        self.t += 1
        over = self.t >= self.length
        ends = (over, over) if self.both else (over and not self.truncate, over and self.truncate)
        return self._obs(), 2.0 if over else 1.0, *ends, self._info()

    def _obs(self):
        self.obs[:] = (self.number, self.episode, self.t)
        return self.obs if self.reuse else self.obs.copy()

    def _info(self):
        if not self.mask:
            return {}
        if self.t >= self.length:
            return {"action_mask": np.zeros(3, np.int8)}
        return {"action_mask": np.array([1, self.t % 2, self.t == 0], np.int8)}


def vector(mode, *envs, **options):
    return SyncVectorEnv([lambda env=env: env for env in envs], autoreset_mode=mode, **options)


def story(game, frames):
    """(stream, kind, reward, episode, t) of every row, stream by stream."""
    rows = []
    frame = game.reset()
    for k in range(frames):
        if k:
            frame = game.step(np.zeros(game.streams, np.int32))
        obs = frame.obs["obs"]
        assert obs.dtype == np.float32
        assert (obs[:, 0] == frame.stream).all()
        rows += [
            (int(s), int(k), float(r), int(o[1]), int(o[2]))
            for s, k, r, o in zip(frame.stream, frame.kind, frame.reward, obs, strict=True)
        ]
    return sorted(rows, key=lambda row: row[0])


STREAM_0 = [
    (0, FIRST, 0, 1, 0),
    (0, MID, 1, 1, 1),
    (0, TERMINATED, 2, 1, 2),
    (0, FIRST, 0, 2, 0),
    (0, MID, 1, 2, 1),
    (0, TERMINATED, 2, 2, 2),
]
STREAM_1 = [
    (1, FIRST, 0, 1, 0),
    (1, MID, 1, 1, 1),
    (1, MID, 1, 1, 2),
    (1, TRUNCATED, 2, 1, 3),
    (1, FIRST, 0, 2, 0),
    (1, MID, 1, 2, 1),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("copy", [True, False])
def test_every_mode_tells_the_same_story(mode, copy):
    reuse = mode is not AutoresetMode.SAME_STEP
    envs = (Counting(0, 2, reuse=reuse), Counting(1, 3, truncate=True, reuse=reuse))
    env = vector(mode, *envs, copy=copy)
    game = GymGame(env, seed=1)

    rows = story(game, 8)

    assert [row for row in rows if row[0] == 0][:6] == STREAM_0
    assert [row for row in rows if row[0] == 1][:6] == STREAM_1
    game.close()


def test_a_single_environment_tells_it_too():
    assert story(GymGame(Counting(0, 2, reuse=True)), 5)[:6] == STREAM_0


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_environments_in_other_processes_too(mode):
    env = AsyncVectorEnv(
        [lambda: Counting(0, 2), lambda: Counting(1, 3, truncate=True)], autoreset_mode=mode
    )
    game = GymGame(env)
    try:
        rows = story(game, 7)
    finally:
        game.close()

    assert rows[:6] == STREAM_0
    assert [row for row in rows if row[0] == 1][:6] == STREAM_1


@pytest.mark.parametrize("mode", MODES)
def test_an_end_by_the_rules_and_by_a_limit_at_once_is_by_the_rules(mode):
    game = GymGame(vector(mode, Counting(0, 2, both=True)))

    assert story(game, 4)[2][1] == TERMINATED
    assert story(GymGame(Counting(0, 2, both=True)), 3)[2][1] == TERMINATED


@pytest.mark.parametrize("mode", MODES)
def test_reset_forgets_what_was_about_to_be_reset(mode):
    game = GymGame(vector(mode, Counting(0, 2), Counting(1, 3)))
    game.reset()
    for _ in range(2):
        game.step(np.zeros(2, np.int32))

    frame = game.reset()

    assert frame.kind.tolist() == [FIRST, FIRST]
    assert game.step(np.zeros(2, np.int32)).kind.tolist() == [MID, MID]


def test_actions_are_shifted_to_where_the_space_starts_and_minus_one_does_no_harm():
    env = Counting(0, 9)
    game = GymGame(env)
    game.reset()
    for action in (0, 2, -1):
        game.step(np.array([action], np.int32))

    assert env.actions == [5, 7, 5]


@pytest.mark.parametrize("make", [lambda e: e, *(lambda e, m=m: vector(m, e) for m in MODES)])
def test_masks_come_from_info_and_ended_rows_without_a_legal_action_get_all(make):
    game = GymGame(make(Counting(0, 2, mask=True)))
    frame = game.reset()
    masks = [(int(k), m.tolist()) for k, m in zip(frame.kind, frame.mask, strict=True)]
    for _ in range(3):
        frame = game.step(np.zeros(1, np.int32))
        masks += [(int(k), m.tolist()) for k, m in zip(frame.kind, frame.mask, strict=True)]

    assert masks[:5] == [
        (FIRST, [1, 0, 1]),
        (MID, [1, 1, 0]),
        (TERMINATED, [1, 1, 1]),
        (FIRST, [1, 0, 1]),
        *masks[4:5],
    ]


def test_masks_of_some_environments_leave_the_others_free():
    game = GymGame(vector(AutoresetMode.SAME_STEP, Counting(0, 2, mask=True), Counting(1, 2)))

    assert game.reset().mask.tolist() == [[1, 0, 1], [1, 1, 1]]
    assert GymGame(Counting()).reset().mask is None


def test_a_mask_of_another_size_is_refused():
    env = Counting(0, 2, mask=True)
    env.action_space = spaces.Discrete(4)

    with pytest.raises(ValueError, match="action_mask: want 4 numbers, got 3"):
        GymGame(env).reset()


def test_an_unknown_autoreset_mode_is_asked_for():
    env = vector(AutoresetMode.NEXT_STEP, Counting())
    env.metadata = {}

    with pytest.raises(ValueError, match="autoreset_mode"):
        GymGame(env)
    assert GymGame(env, autoreset_mode="NextStep").streams == 1


def test_same_step_needs_the_final_observation():
    env = vector(AutoresetMode.NEXT_STEP, Counting(0, 1))
    game = GymGame(env, autoreset_mode=AutoresetMode.SAME_STEP)
    game.reset()

    with pytest.raises(ValueError, match="final_obs"):
        game.step(np.zeros(1, np.int32))


# -- spaces ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "dtype", "shape"),
    [
        (spaces.Box(0, 1, (2,), np.float64), "float32", (2,)),
        (spaces.Box(0, 1, (2,), np.float32), "float32", (2,)),
        (spaces.Box(0, 1, (2,), np.float16), "float16", (2,)),
        (spaces.Box(0, 255, (4, 4, 3), np.uint8), "uint8", (4, 4, 3)),
        (spaces.Box(-5, 5, (2,), np.int8), "int8", (2,)),
        (spaces.Box(-5, 5, (2,), np.int16), "int32", (2,)),
        (spaces.Box(0, 9, (2,), np.uint16), "int32", (2,)),
        (spaces.Box(-9, 9, (2,), np.int32), "int32", (2,)),
        (spaces.Box(-9, 9, (2,), np.int64), "int32", (2,)),
        (spaces.Box(0, 2**40, (2,), np.int64), "float32", (2,)),
        (spaces.Box(0, 1, (2,), np.bool_), "uint8", (2,)),
        (spaces.Box(0, 1, (), np.float32), "float32", ()),
        (spaces.MultiBinary(3), "uint8", (3,)),
        (spaces.MultiBinary((2, 3)), "uint8", (2, 3)),
        (spaces.Discrete(5, start=-2), "uint8", (5,)),
        (spaces.MultiDiscrete([2, 4]), "uint8", (6,)),
    ],
)
def test_every_observation_space_becomes_a_tensor(space, dtype, shape):
    (leaf,) = leaves(space)
    samples = [space.sample() for _ in range(4)]

    rows = np.concatenate([leaf.single(sample) for sample in samples])
    batch = leaf.batch(np.stack([np.asarray(sample) for sample in samples]))

    assert (leaf.name, leaf.dtype, leaf.shape) == ("obs", dtype, shape)
    assert (rows.dtype, rows.shape) == (dtype, (4, *shape))
    np.testing.assert_array_equal(rows, batch)


def test_numbers_become_one_hot():
    (leaf,) = leaves(spaces.MultiDiscrete([2, 3], start=[0, 10]))

    assert leaf.batch(np.array([[0, 10], [1, 12]])).tolist() == [[1, 0, 1, 0, 0], [0, 1, 0, 0, 1]]


def test_nested_spaces_become_tensors_with_dotted_names():
    space = spaces.Dict(
        {
            "eye": spaces.Box(0, 255, (2, 2), np.uint8),
            "body": spaces.Dict({"hp": spaces.Discrete(3)}),
            "arms": spaces.Tuple((spaces.Box(0, 1, (1,)), spaces.MultiBinary(2))),
        }
    )

    parts = leaves(space)

    assert sorted(leaf.name for leaf in parts) == ["arms.0", "arms.1", "body.hp", "eye"]
    sample = space.sample()
    for leaf in parts:
        assert leaf.single(sample).shape == (1, *leaf.shape)


@pytest.mark.parametrize("mode", MODES)
def test_dict_observations_keep_their_final_rows_in_every_mode(mode):
    class Pair(Counting):
        def __init__(self):
            super().__init__(0, 2)
            self.observation_space = spaces.Dict(
                {"a": self.observation_space, "n": spaces.Discrete(9)}
            )

        def _obs(self):
            return {"a": super()._obs(), "n": self.t}

    game = GymGame(vector(mode, Pair()))
    game.reset()
    game.step(np.zeros(1, np.int32))
    frame = game.step(np.zeros(1, np.int32))

    assert frame.kind[0] == TERMINATED
    assert frame.obs["a"][0].tolist() == [0, 1, 2]
    assert frame.obs["n"][0].argmax() == 2


@pytest.mark.parametrize("space", [spaces.Text(3), spaces.Sequence(spaces.Discrete(2))])
def test_observation_spaces_that_cannot_be_sent_are_named(space):
    with pytest.raises(TypeError, match="cannot be sent"):
        leaves(space)


def f32(number: float) -> float:
    return float(np.float32(number))


@pytest.mark.parametrize(
    ("space", "why"),
    [
        (spaces.Box(-np.inf, np.inf, (2,)), "want finite bounds"),
        (spaces.Box(1.0, 1.0, (1,)), "low below high"),
        (spaces.Box(-1, 1, (33,)), "want at most 32 numbers .* got 33"),
        (spaces.Text(2), "want Box"),
    ],
)
def test_actions_that_the_protocol_has_no_words_for_are_refused_with_advice(space, why):
    with pytest.raises(TypeError, match=why):
        ActionCoder(space)


def test_actions_between_bounds_are_numbers():
    coder = ActionCoder(spaces.Box(np.array([[-1, 0.1]]), np.array([[1, 4]]), dtype=np.float64))

    assert coder.actions == {"kind": "box", "low": [-1.0, f32(0.1)], "high": [1.0, 4.0]}
    assert (coder.width, coder.shape.dtype) == (0, np.float32)
    played = coder.decode(np.array([[0.5, 0.1], [np.nan, np.nan]], np.float32))
    assert (played.shape, played.dtype) == ((2, 1, 2), np.float64)
    assert played[0].tolist() == [[0.5, f32(0.1)]]
    np.testing.assert_allclose(played[1], [[0, 2.05]], rtol=1e-6)
    assert coder.encode_one(np.array([[0.25, 0.1]])).tolist() == [0.25, f32(0.1)]
    for wrong in ([[0.25, 4.5]], [0.25, 1.0], [[np.nan, 1.0]], "up"):
        with pytest.raises(ValueError, match="action: want one of"):
            coder.encode_one(np.array(wrong))


def test_whole_numbers_between_bounds_are_numbered():
    coder = ActionCoder(spaces.Box(np.array([-1, 5]), np.array([1, 6]), dtype=np.int64))

    assert (coder.actions, coder.width) == ((3, 2), 5)
    assert coder.decode(np.array([[0, 1]])).tolist() == [[-1, 6]]
    assert coder.encode_one(np.array([1, 5])).tolist() == [2, 0]


@pytest.mark.parametrize("kind", [spaces.Tuple, spaces.Dict])
def test_mixtures_of_numbered_actions_and_numbers(kind):
    gear, wheel, lamp = spaces.Discrete(3), spaces.Box(-1, 1, (2,)), spaces.Discrete(2)
    parts = {"a": gear, "b": wheel, "c": lamp}
    space = spaces.Dict(parts) if kind is spaces.Dict else spaces.Tuple(tuple(parts.values()))
    coder = ActionCoder(space)

    number = {"low": -1.0, "high": 1.0}
    assert coder.actions == {"kind": "mixed", "heads": [{"n": 3}, number, number, {"n": 2}]}
    assert coder.width == 5
    one = coder.decode_one(np.array([[2.0, -0.5, 0.5, 1.0]], np.float32))
    assert one in space
    assert coder.encode_one(one).tolist() == [2.0, -0.5, 0.5, 1.0]
    mask = {"a": [1, 0, 1], "c": [0, 1]} if kind is spaces.Dict else ([1, 0, 1], [], [0, 1])
    assert coder.flat_mask(mask).tolist() == [1, 0, 1, 0, 1]


def test_actions_of_several_branches():
    coder = ActionCoder(spaces.MultiDiscrete([2, 3], start=[0, 7]))

    assert (coder.actions, coder.width) == ((2, 3), 5)
    assert coder.decode(np.array([[1, 2], [-1, -1]])).tolist() == [[1, 9], [0, 7]]
    assert coder.flat_mask((np.array([1, 0]), np.array([0, 1, 1]))).tolist() == [1, 0, 0, 1, 1]


# -- against a server ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [None, *MODES])
def test_cartpole_plays_against_a_server(peer, mode):
    if mode is None:
        env = gymnasium.make("CartPole-v1")
    else:
        env = gymnasium.make_vec(
            "CartPole-v1", 3, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}
        )
    game = GymGame(env, seed=1)
    with join(peer.address, "x", game) as client:
        turns = list(islice(play(client, game), 80))

    episodes = [episode for turn in turns for episode in turn.ended]
    assert len(episodes) >= 2
    assert all(episode.total == episode.length for episode in episodes)
    assert game.spec.name == "CartPole-v1"
    game.close()


@pytest.mark.parametrize("mode", MODES)
def test_evaluation_counts_the_same_in_every_mode(peer, mode):
    game = GymGame(vector(mode, Counting(0, 2), Counting(1, 5)))
    with join(peer.address, "x", game, role="eval") as client:
        found = evaluate(client, game, 5)

    assert [(e.stream, e.length) for e in found.episodes] == [(0, 2)] * 3 + [(1, 5)] * 2


class Branches(Counting):
    def __init__(self):
        super().__init__(1, 3)
        self.action_space = spaces.MultiDiscrete([2, 3])

    def step(self, action):
        assert self.action_space.contains(action)
        self.t += 1
        return self._obs(), 1.0, self.t >= self.length, False, {}


@pytest.mark.parametrize("make", [lambda e: e, lambda e: vector(AutoresetMode.NEXT_STEP, e)])
def test_several_branches_play_against_a_server(peer, make):
    game = GymGame(make(Branches()))
    with join(peer.address, "x", game) as client:
        turns = list(islice(play(client, game), 9))

    assert sum(len(turn.ended) for turn in turns) >= 2


# -- a person in the environment -------------------------------------------------------------------


class Intervened(Counting):
    """A person plays 6 in place of what was asked for at every second step, and wins."""

    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        if self.t % 2 == 0:
            info = info | {"intervene_action": np.int64(6)}
        if terminated:
            info = info | {"is_success": True}
        return obs, reward, terminated, truncated, info


@pytest.mark.parametrize("make", [lambda e: e, *[partial(vector, mode) for mode in MODES]])
def test_what_a_person_played_inside_the_environment_is_told(make):
    game = GymGame(make(Intervened(length=4)))
    game.reset()
    frames = [game.step(np.array([2], np.int32)) for _ in range(4)]

    assert [frame.facts for frame in frames[::2]] == [None, None]
    second, last = frames[1].facts, frames[3].facts
    assert (second["taken"].tolist(), second["by"].tolist()) == ([1], [1])
    firsts = [0] * (len(frames[3].kind) - 1)  # a first row may stand in the same frame
    assert (last["taken"].tolist(), last["by"].tolist()) == ([1, *firsts], [1, *firsts])
    assert last["success"].tolist() == [True, *firsts]


def test_environments_without_a_person_beside_one_with_keep_what_was_asked_for():
    game = GymGame(vector(AutoresetMode.NEXT_STEP, Intervened(0, 9), Counting(1, 9)))
    game.reset()
    game.step(np.array([2, 2], np.int32))
    facts = game.step(np.array([2, 2], np.int32)).facts

    assert (facts["taken"].tolist(), facts["by"].tolist()) == ([1, 2], [1, 0])
    assert "success" not in facts


@pytest.mark.parametrize(
    ("space", "action", "numbers"),
    [
        (spaces.Discrete(3, start=5), 6, 1),
        (spaces.MultiDiscrete([2, 3], start=[0, 7]), np.array([1, 9]), [1, 2]),
        (spaces.MultiBinary(3), [1, 0, 1], [1, 0, 1]),
        (spaces.Dict({"b": spaces.Discrete(2), "a": spaces.Discrete(3)}), {"a": 2, "b": 1}, [2, 1]),
        (spaces.Tuple((spaces.Discrete(2), spaces.MultiBinary(2))), (1, [0, 1]), [1, 0, 1]),
    ],
)
def test_actions_of_an_environment_are_numbered(space, action, numbers):
    coder = ActionCoder(space)
    found = coder.encode_one(action)

    assert found.tolist() == numbers
    decoded = coder.decode_one(found[None])
    assert coder.encode_one(decoded).tolist() == numbers


@pytest.mark.parametrize(
    ("space", "action"),
    [
        (spaces.Discrete(3), 3),
        (spaces.Discrete(3), -1),
        (spaces.Discrete(3), 1.5),
        (spaces.Discrete(3), [1, 2]),
        (spaces.Discrete(3), "up"),
        (spaces.MultiBinary(2), [2, 0]),
        (spaces.Dict({"a": spaces.Discrete(3)}), {"b": 1}),
        (spaces.Tuple((spaces.Discrete(2),)), (1, 1)),
    ],
)
def test_actions_that_no_environment_has_are_named(space, action):
    with pytest.raises(ValueError, match="action: want one of"):
        ActionCoder(space).encode_one(action)
