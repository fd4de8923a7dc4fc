"""Negamax: what plain recursion finds, wins first, whoever asks and however positions are met."""

import numpy as np
import pytest

from agentd.games import make
from agentd.games.connect4 import COLUMNS, ConnectFour, best_of_two_plies
from agentd.games.game import Kind, Observations
from agentd.games.negamax import DISCOUNT, Guarded, moves_not_lost, no_values, search
from agentd.games.two_player import Against


@pytest.fixture(scope="module")
def game() -> ConnectFour:
    """Boards a few moves into the game, and some that are nearly full."""
    world = ConnectFour(40, np.random.default_rng(7), opening=38)
    world.begin(np.arange(40))
    return world


def any_values(observations: Observations, legal: np.ndarray) -> np.ndarray:
    """Values that say nothing, but the same of the same position: hashes in (-1, 1)."""
    board = observations["board"].reshape(len(legal), -1).astype(np.float64)
    weights = np.cos(np.arange(board.shape[1]))[:, None] * np.arange(1, COLUMNS + 1)
    return np.sin(board @ weights)


def by_recursion(game: ConnectFour, position: np.ndarray, plies: int) -> dict[int, float]:
    """What each legal action is worth, move by move."""
    legal = game.moves(position[None])
    if plies == 0:
        q = any_values(game.look(position[None]), legal)[0]
        return {int(a): float(np.float32(q[a])) for a in np.flatnonzero(legal[0])}
    worth = {}
    for action in np.flatnonzero(legal[0]):
        after, won, drawn = game.outcome(position[None], np.array([action]))
        if won[0] or drawn[0]:
            worth[int(action)] = float(won[0])
        else:
            worth[int(action)] = -DISCOUNT * max(by_recursion(game, after[0], plies - 1).values())
    return worth


@pytest.mark.parametrize("plies", [1, 2, 3])
def test_it_finds_what_recursion_finds(game: ConnectFour, plies: int) -> None:
    positions = game.positions(np.arange(12))

    found = search(game, positions, any_values, plies)

    for q, position in zip(found, positions, strict=True):
        wanted = by_recursion(game, position, plies)
        assert {int(a) for a in np.flatnonzero(np.isfinite(q))} == set(wanted)
        for action, worth in wanted.items():
            assert q[action] == pytest.approx(worth, abs=1e-6)


def test_two_plies_are_those_of_the_two_ply_player(game: ConnectFour) -> None:
    positions = game.positions(np.arange(game.tables))

    q = search(game, positions, plies=2)

    assert np.array_equal(
        q == q.max(axis=1, keepdims=True), best_of_two_plies(positions, np.int8(1))
    )


def test_a_win_now_is_better_than_a_win_later() -> None:
    game = ConnectFour(1, np.random.default_rng(0))
    game.board[0, -7:] = (0, 0, 1, 1, 0, -1, -1)  # a third disc leaves two ends open: it is won
    three = search(game, game.board, plies=3)[0]

    assert three.argmax() in (1, 4)
    assert three.max() == pytest.approx(DISCOUNT**2)
    game.board[0, -7:] = (0, 0, 1, 1, 1, -1, -1)
    now = search(game, game.board, plies=3)[0]
    assert (now.argmax(), now.max()) == (1, 1.0)


def test_a_value_never_outweighs_a_proven_win() -> None:
    game = ConnectFour(1, np.random.default_rng(0))
    game.board[0, -7:] = (0, 1, 1, 1, 0, -1, -1)

    q = search(game, game.board, lambda obs, legal: np.full(legal.shape, -50.0), plies=1)[0]

    assert q[0] == q[4] == 1.0
    assert (q[[1, 2, 3, 5, 6]] == np.float32(DISCOUNT)).all()


def test_a_player_of_four_plies_beats_one_of_two() -> None:
    game = make("connect4-search4", 20, 3)
    assert isinstance(game, Against)
    rng, returns = np.random.default_rng(1), []
    frame = game.reset()
    while len(returns) < 20:
        mine = best_of_two_plies(game.world.positions(np.arange(20)), np.int8(1))  # type: ignore[attr-defined]
        frame = game.step((rng.random(mine.shape) * mine).argmax(axis=1))
        returns += frame.reward[frame.kind >= 2].tolist()

    assert np.mean(returns) < -0.3


def test_fewer_than_one_ply_is_refused(game: ConnectFour) -> None:
    with pytest.raises(ValueError, match="at least 1 ply, got 0"):
        search(game, game.positions(np.arange(1)), no_values, plies=0)


def test_moves_that_lose_to_a_reply_are_barred_unless_all_do(game: ConnectFour) -> None:
    positions = game.positions(np.arange(game.tables))
    safe, legal = moves_not_lost(game, positions), game.moves(positions)
    lost = search(game, positions, plies=2) == np.float32(-DISCOUNT)

    assert safe.any(axis=1).all()
    assert not (safe.astype(bool) & ~legal).any()
    helped = ~(lost | ~legal).all(axis=1)
    assert lost.sum() > 0
    assert (safe[helped] == (legal & ~lost)[helped]).all()
    assert (safe[~helped] == legal[~helped]).all()


def test_a_guarded_game_bars_them_in_its_mask_and_plays_the_same_game() -> None:
    bare, guarded = make("connect4-search", 6, 3), Guarded(make("connect4-search", 6, 3))
    frame, shown = bare.reset(), guarded.reset()
    barred = 0
    for _ in range(40):
        assert (frame.kind == shown.kind).all()
        assert (shown.mask <= frame.mask).all()
        ended = frame.kind >= Kind.TERMINATED
        assert (shown.mask[ended] == frame.mask[ended]).all()
        moving = ~ended
        world = bare.world
        expected = moves_not_lost(world, world.positions(frame.stream[moving]))
        assert (shown.mask[moving] == expected).all()
        barred += int((shown.mask < frame.mask).sum())
        actions = np.zeros(6, np.int64)
        actions[shown.stream] = shown.mask.argmax(axis=1)
        frame, shown = bare.step(actions), guarded.step(actions)
    assert barred > 0
