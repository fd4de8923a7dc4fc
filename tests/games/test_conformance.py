"""What every game must do. A game that enters ``GAMES`` inherits all of it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from agentd import games
from agentd.games.game import Kind

STEPS = 250
ENDED = (Kind.TERMINATED, Kind.TRUNCATED)
NO_CHANCE = {"deepsea"}  # every seed plays the same game


@pytest.fixture(params=sorted(games.GAMES.keys() - {"connect4-search4"}))  # -search, deeper
def name(request):
    return request.param


@pytest.fixture(params=[1, 3])
def game(request, name):
    return games.make(name, request.param, seed=7)


def random_actions(rng, game, frame):
    """A legal action for each stream, drawn from its last row in ``frame``."""
    legal = np.ones((len(frame.stream), game.spec.actions)) if frame.mask is None else frame.mask
    actions = np.full(game.streams, -1)
    for stream, row in zip(frame.stream, legal, strict=True):
        actions[stream] = rng.choice(np.flatnonzero(row))
    return actions


def worlds(game, streams):
    """The streams of the worlds of ``streams``, world by world."""
    found = dict.fromkeys(s // game.spec.seats for s in streams)
    return [w * game.spec.seats + seat for w in found for seat in range(game.spec.seats)]


def play(game, steps=STEPS, seed=3):
    """Yield the frames of random play, the first one included."""
    rng = np.random.default_rng(seed)
    frame = game.reset()
    yield frame
    for _ in range(steps):
        frame = game.step(random_actions(rng, game, frame))
        yield frame


@cache
def played(name, worlds):
    """The frames of one random play, for all who only look at them."""
    return list(play(games.make(name, worlds, seed=7)))


@pytest.fixture
def frames(game, name):
    return played(name, game.streams // game.spec.seats)


def test_every_array_has_its_dtype_and_shape(game, frames):
    for frame in frames:
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


def test_every_number_is_finite_and_every_row_has_a_legal_action(frames):
    for frame in frames:
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
    seats = game.spec.seats
    before = game.render(seats)

    frame = game.reset(np.array([2 * seats, 0]))

    assert frame.stream.tolist() == worlds(game, [2 * seats, 0])
    assert (frame.kind == Kind.FIRST).all()
    assert game.render(seats) == before


def test_step_answers_a_row_a_stream_and_then_the_rows_that_open_the_next_episodes(game, frames):
    ends = 0
    open_now = set(frames[0].stream.tolist())
    for frame in frames[1:]:
        first = frame.kind == Kind.FIRST
        n = len(first) - np.argmin(first[::-1]) if not first.all() else 0
        streams = frame.stream.tolist()
        closed = [s for s, kind in zip(streams[:n], frame.kind[:n], strict=True) if kind in ENDED]
        assert len(set(streams[:n])) == n
        assert streams == [*range(game.streams), *closed]
        assert not first[:n].any()
        for stream, kind in zip(streams, frame.kind, strict=True):
            assert (kind == Kind.FIRST) == (stream not in open_now)
            open_now.add(stream)
            if kind in ENDED:
                open_now.remove(stream)
        assert (frame.reward[first] == 0).all()
        ends += len(closed)
    assert ends > 0, "random play ended no episode: the rest of this suite shows little"


def test_no_episode_is_longer_than_the_spec_says(game, frames):
    length = np.zeros(game.streams, int)
    for frame in frames:
        for stream, kind in zip(frame.stream, frame.kind, strict=True):
            length[stream] = 0 if kind == Kind.FIRST else length[stream] + 1
        assert (length <= game.spec.max_steps).all()


def test_the_same_seed_plays_the_same_game(name):
    again = games.make(name, 3, seed=7)
    for a, b in zip(played(name, 3), play(again), strict=True):
        for left, right in zip(a[:3], b[:3], strict=True):
            np.testing.assert_array_equal(left, right)
        for part in a.obs:
            np.testing.assert_array_equal(a.obs[part], b.obs[part])


def test_another_seed_plays_another_game(name):
    if name in NO_CHANCE:
        return
    one, two = (
        [
            part
            for frame in play(games.make(name, 2, seed=s), 60)
            for part in (frame.stream, *frame.obs.values())
        ]
        for s in (5, 6)
    )
    same = [a.shape == b.shape and (a == b).all() for a, b in zip(one, two, strict=True)]
    assert not all(same)


def test_a_frame_is_not_changed_by_the_next_step(game, name):
    frames = list(play(game, steps=30))
    again = games.make(name, game.streams // game.spec.seats, seed=7)
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
    actions[frame.stream[-1]] = wrong

    with pytest.raises(ValueError, match="want actions in"):
        game.step(actions)

    assert game.render(game.streams - 1) == drawn


def test_an_illegal_action_is_refused_and_changes_nothing(game):
    if not game.spec.masked:
        return
    rng = np.random.default_rng(0)
    frame = next(f for f in play(game, steps=2000) if (f.mask[-1] == 0).any())
    actions = random_actions(rng, game, frame)
    actions[frame.stream[-1]] = np.flatnonzero(frame.mask[-1] == 0)[0]
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
