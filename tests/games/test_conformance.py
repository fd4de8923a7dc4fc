"""What every game must do. A game that enters ``GAMES`` inherits all of it."""

from __future__ import annotations

import numpy as np
import pytest

import games
from games.game import Kind

STEPS = 400
ENDED = (Kind.TERMINATED, Kind.TRUNCATED)


@pytest.fixture(params=sorted(games.GAMES))
def name(request):
    return request.param


@pytest.fixture(params=[1, 3])
def game(request, name):
    return games.make(name, request.param, seed=7)


def random_actions(rng, game, frame):
    """A legal action for each stream, drawn from its last row in ``frame``."""
    last = {int(s): row for row, s in enumerate(frame.stream)}
    legal = np.ones((len(frame.stream), game.spec.actions)) if frame.mask is None else frame.mask
    return np.array([rng.choice(np.flatnonzero(legal[last[s]])) for s in range(game.streams)])


def play(game, steps=STEPS, seed=3):
    """Yield the frames of random play, the first one included."""
    rng = np.random.default_rng(seed)
    frame = game.reset()
    yield frame
    for _ in range(steps):
        frame = game.step(random_actions(rng, game, frame))
        yield frame


def test_every_array_has_its_dtype_and_shape(game):
    for frame in play(game):
        n = len(frame.stream)
        assert (frame.stream.dtype, frame.kind.dtype) == (np.uint32, np.uint8)
        assert (frame.reward.dtype, frame.reward.shape) == (np.float32, (n,))
        assert frame.kind.shape == (n,)
        assert sorted(frame.obs) == sorted(game.spec.observation)
        for part, tensor in game.spec.observation.items():
            assert frame.obs[part].dtype == tensor.dtype
            assert frame.obs[part].shape == (n, *tensor.shape)
        assert (frame.mask is not None) == game.spec.masked
        if frame.mask is not None:
            assert (frame.mask.dtype, frame.mask.shape) == (np.uint8, (n, game.spec.actions))


def test_every_number_is_finite_and_every_row_has_a_legal_action(game):
    for frame in play(game):
        assert np.isfinite(frame.reward).all()
        assert all(np.isfinite(rows).all() for rows in frame.obs.values())
        if frame.mask is not None:
            assert set(np.unique(frame.mask)) <= {0, 1}
            assert (frame.mask.sum(axis=1) > 0).all()


def test_reset_opens_an_episode_in_every_stream(game):
    frame = game.reset()

    assert frame.stream.tolist() == list(range(game.streams))
    assert (frame.kind == Kind.FIRST).all()
    assert (frame.reward == 0).all()


def test_reset_of_some_streams_leaves_the_others_alone(name):
    game = games.make(name, 3, seed=1)
    for _ in play(game, steps=2):
        pass
    before = [game.render(s) for s in range(3)]

    frame = game.reset(np.array([2, 0]))

    assert frame.stream.tolist() == [2, 0]
    assert (frame.kind == Kind.FIRST).all()
    assert game.render(1) == before[1]


def test_step_answers_one_row_a_stream_and_then_the_rows_that_open_the_next_episodes(game):
    ends = 0
    for frame in list(play(game))[1:]:
        closed = [s for s in range(game.streams) if frame.kind[s] in ENDED]
        assert frame.stream.tolist() == [*range(game.streams), *closed]
        assert (frame.kind[: game.streams] != Kind.FIRST).all()
        assert (frame.kind[game.streams :] == Kind.FIRST).all()
        assert (frame.reward[game.streams :] == 0).all()
        ends += len(closed)
    assert ends > 0, "random play ended no episode: the rest of this suite shows little"


def test_no_episode_is_longer_than_the_spec_says(game):
    length = np.zeros(game.streams, int)
    for frame in list(play(game))[1:]:
        length += 1
        assert (length <= game.spec.max_steps).all()
        length[frame.kind[: game.streams] >= Kind.TERMINATED] = 0


def test_the_same_seed_plays_the_same_game(name):
    one, two = (games.make(name, 2, seed=5) for _ in range(2))
    for a, b in zip(play(one), play(two), strict=True):
        for left, right in zip(a[:3], b[:3], strict=True):
            np.testing.assert_array_equal(left, right)
        for part in a.obs:
            np.testing.assert_array_equal(a.obs[part], b.obs[part])


def test_another_seed_plays_another_game(name):
    one, two = (
        [part for frame in play(games.make(name, 2, seed=s), 20) for part in frame.obs.values()]
        for s in (5, 6)
    )
    same = [a.shape == b.shape and (a == b).all() for a, b in zip(one, two, strict=True)]
    assert not all(same)


def test_a_frame_is_not_changed_by_the_next_step(game):
    frames = list(play(game, steps=30))
    again = games.make(game.spec.name, game.streams, seed=7)
    for frame, part in ((f, p) for f in frames for p in f.obs):
        assert frame.obs[part].flags.writeable
    # The construction drew from the generator once, play() resets once more: both did the same.
    for kept, fresh in zip(frames, play(again, steps=30), strict=True):
        for part in kept.obs:
            np.testing.assert_array_equal(kept.obs[part], fresh.obs[part])


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
def test_actions_may_be_of_any_integer_type(game, dtype):
    frame = game.reset()
    game.step(random_actions(np.random.default_rng(0), game, frame).astype(dtype))


@pytest.mark.parametrize("wrong", [-1, 1_000])
def test_an_action_out_of_range_is_refused_and_changes_nothing(game, wrong):
    frame = game.reset()
    actions = random_actions(np.random.default_rng(0), game, frame)
    drawn = game.render(game.streams - 1)
    actions[-1] = wrong

    with pytest.raises(ValueError, match="want actions in"):
        game.step(actions)

    assert game.render(game.streams - 1) == drawn


def test_an_illegal_action_is_refused_and_changes_nothing(game):
    frame = game.reset()
    if frame.mask is None:
        return
    actions = random_actions(np.random.default_rng(0), game, frame)
    actions[-1] = np.flatnonzero(frame.mask[-1] == 0)[0]
    drawn = game.render(game.streams - 1)

    with pytest.raises(ValueError):
        game.step(actions)

    assert game.render(game.streams - 1) == drawn


def test_actions_of_the_wrong_shape_are_refused(game):
    with pytest.raises(ValueError, match="want actions of shape"):
        game.step(np.zeros(game.streams + 1, np.int64))


@pytest.mark.parametrize("streams", [[99], [-1], [0, 0]])
def test_reset_refuses_streams_the_game_does_not_have(game, streams):
    with pytest.raises(ValueError, match="stream"):
        game.reset(np.array(streams))


def test_render_is_lines_of_text_that_changes_nothing(game):
    for stream in range(game.streams):
        drawn = game.render(stream)
        assert drawn.strip()
        assert game.render(stream) == drawn


def test_make_refuses_an_unknown_game_and_names_the_others():
    with pytest.raises(ValueError, match=r"no game 'pong'; use one of .*catch"):
        games.make("pong")


def test_make_refuses_fewer_than_one_stream(name):
    with pytest.raises(ValueError, match="at least 1 stream"):
        games.make(name, 0)
