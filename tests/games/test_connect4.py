"""Connect Four: wins found, sides told apart, and rewards with the row after the reply."""

import numpy as np
import pytest

from agentd import games
from agentd.games.connect4 import (
    CELLS,
    COLUMNS,
    LINES,
    ROWS,
    ConnectFour,
    best_of_two_plies,
    dropped,
    fourth_cells,
    has_four,
    landings,
    open_columns,
    render,
)
from agentd.games.game import Game, Kind
from agentd.games.two_player import Against, InTurn, SelfPlay


def board(*rows: str) -> np.ndarray:
    """A board (1, 42) from its lowest rows, ``x`` seat 0 and ``o`` seat 1."""
    lines = ["." * COLUMNS] * (ROWS - len(rows)) + list(rows)
    numbers = {".": 0, "x": 1, "o": -1}
    return np.array([[numbers[mark] for line in lines for mark in line]], np.int8)


def play(game: Game, columns: list[int]) -> list[tuple[int, int, float]]:
    """Play ``columns`` at one table; (ply, kind, reward) of every row."""
    frame, told = game.reset(), []
    for ply, column in enumerate([*columns, -1]):
        told += [(ply, int(k), float(r)) for k, r in zip(frame.kind, frame.reward, strict=True)]
        if column < 0:
            return told
        frame = game.step(np.array([column]))
    return told


def test_there_are_69_lines_and_each_of_them_wins() -> None:
    assert LINES.shape == (69, 4)
    assert len({tuple(sorted(line)) for line in LINES.tolist()}) == 69
    for line in LINES:
        one = np.zeros((1, CELLS), np.int8)
        one[0, line] = 1
        assert has_four(one, np.array([1], np.int8))
        assert not has_four(one, np.array([-1], np.int8))
        one[0, line[2]] = -1
        assert not has_four(one, np.array([1], np.int8))


def test_three_and_a_line_around_the_edge_do_not_win() -> None:
    wrapped = board("....xxx", "x......")

    assert not has_four(wrapped, np.array([1], np.int8))


def test_a_disc_falls_onto_what_lies_there() -> None:
    two = np.repeat(board("..o....", "..x...."), 2, axis=0)

    after = dropped(two, np.array([2, 6]), np.array([1, -1], np.int8))

    assert render(after[0]).splitlines()[3] == "|. . x . . . .|"
    assert render(after[1]).splitlines()[5] == "|. . x . . . o|"


def test_each_side_sees_its_own_discs_and_fourth_cells_first() -> None:
    world = ConnectFour(1, np.random.default_rng(0))
    world.board[:] = board("..x.ooo")
    table = np.zeros(2, np.int64)

    seen = world.observe(table, np.array([0, 1]))["board"]

    assert seen.shape == (2, ROWS, COLUMNS, 5)
    assert (seen[0, 5, 2].tolist(), seen[0, 5, 6].tolist()) == ([1, 0, 0, 0, 0], [0, 1, 0, 0, 0])
    assert seen[0, 5, 3].tolist() == [0, 0, 0, 1, 1]  # four for the other, and a disc falls there
    np.testing.assert_array_equal(seen[0], seen[1][..., [1, 0, 3, 2, 4]])


def test_the_cells_that_complete_four_are_those_where_a_disc_would() -> None:
    rng = np.random.default_rng(5)
    boards = rng.integers(-1, 2, size=(200, CELLS)).astype(np.int8)
    boards[has_four(boards, np.ones(200, np.int8)) | has_four(boards, -np.ones(200, np.int8))] = 0

    found = fourth_cells(boards > 0, boards < 0)

    for side, cells in zip((1, -1), found, strict=True):
        each = np.full(200, side, np.int8)
        for cell in range(CELLS):
            tried = boards.copy()
            tried[:, cell] = side
            want = (boards[:, cell] == 0) & has_four(tried, each)
            np.testing.assert_array_equal(cells[:, cell], want)
    assert found[0].any()


def test_a_disc_falls_where_the_landings_are() -> None:
    world = ConnectFour(50, np.random.default_rng(0), opening=30)
    world.begin(np.arange(50))
    seen = landings(world.board == 0).reshape(-1, ROWS, COLUMNS)

    np.testing.assert_array_equal(seen.any(axis=1), open_columns(world.board))
    for column in range(COLUMNS):
        room = np.flatnonzero(open_columns(world.board)[:, column])
        before = world.board[room]
        after = dropped(before, np.full(len(room), column), np.ones(len(room), np.int8))
        fell = (after != before).reshape(-1, ROWS, COLUMNS)[..., column]
        np.testing.assert_array_equal(fell, seen[room, :, column])


def test_in_turn_a_row_is_the_next_movers_and_its_reward_the_last_ones() -> None:
    game = InTurn(ConnectFour(1, np.random.default_rng(0)))
    frame = game.reset()
    for column in (0, 1, 0, 1, 0, 1):
        before = frame.obs["board"][0]
        frame = game.step(np.array([column]))
        after = frame.obs["board"][0]
        np.testing.assert_array_equal(after[..., 0], before[..., 1])  # what was its, is own
        assert after[..., 1].sum() == before[..., 0].sum() + 1
        assert (frame.kind.tolist(), frame.reward.tolist()) == ([Kind.MID], [0.0])

    frame = game.step(np.array([0]))  # who began stacks four

    assert frame.kind.tolist() == [Kind.TERMINATED, Kind.FIRST]
    assert frame.reward.tolist() == [1.0, 0.0]


def test_against_a_player_a_moves_reward_comes_after_the_reply() -> None:
    def stack(world: ConnectFour, tables: np.ndarray, seat: int) -> np.ndarray:
        return np.full(len(tables), 1)

    game = Against(ConnectFour(1, np.random.default_rng(1)), stack)

    told = play(game, [0, 0, 6, 5])

    # Three of our discs lie apart when the other's fourth falls onto column 1.
    last = max(ply for ply, kind, _ in told if kind == Kind.TERMINATED)
    assert (last, Kind.TERMINATED, -1.0) in told
    assert [reward for ply, kind, reward in told if ply < last] == [0.0] * last


def test_seats_that_take_turns_are_no_streams_of_their_own() -> None:
    with pytest.raises(ValueError, match="take turns"):
        SelfPlay(ConnectFour(2, np.random.default_rng(0)))


def test_an_opening_is_played_and_nobody_has_won_yet() -> None:
    world = ConnectFour(200, np.random.default_rng(0), opening=10)
    world.begin(np.arange(200))

    discs = (world.board != 0).sum(axis=1)
    assert set(discs.tolist()) == set(range(11))
    assert (abs(world.board.sum(axis=1)) <= 1).all()
    for side in (1, -1):
        assert not has_four(world.board, np.full(200, side, np.int8)).any()


def test_a_full_board_is_a_draw() -> None:
    world = ConnectFour(1, np.random.default_rng(0))
    world.begin(np.array([0]))
    world.board[:] = board(".xooxxo", "xoxxoox", "oxooxxo", "xoxxoox", "oxooxxo", "xoxxoox")
    world.turn[0] = 1

    done = world.advance(np.array([0]), np.array([[0, 0]]))

    assert done.terminated.tolist() == [True]
    assert done.reward.tolist() == [[0.0, 0.0]]
    assert world.legal(np.array([0]), np.array([0])).all()


def test_the_search_wins_blocks_and_does_not_open_a_win() -> None:
    win = best_of_two_plies(board("ooo....", "xxx...."), np.int8(1))
    block = best_of_two_plies(board(".......", "ooo.x.."), np.int8(1))
    lost = best_of_two_plies(board(".......", ".ooo..."), np.int8(1))
    # Under the cell that would give o four: whoever moves into column 3 opens it.
    trap = best_of_two_plies(board("ooo....", "xxo.xxo"), np.int8(1))

    assert np.flatnonzero(win).tolist() == [3]
    assert np.flatnonzero(block).tolist() == [3]
    assert lost.all()
    assert not trap[0, 3]
    assert trap.sum() == 6


@pytest.mark.parametrize(("name", "wins"), [("connect4-random", 0.9), ("connect4-search", 0.35)])
def test_two_plies_beat_chance_and_are_equal_to_themselves(name: str, wins: float) -> None:
    game = games.make(name, 32, seed=3)
    rng = np.random.default_rng(4)
    frame, returns = game.reset(), []
    while len(returns) < 100:
        last = {int(s): row for row, s in enumerate(frame.stream)}
        seen = frame.obs["board"][[last[s] for s in range(32)]].astype(np.int8)
        best = best_of_two_plies((seen[..., 0] - seen[..., 1]).reshape(-1, CELLS), np.int8(1))
        frame = game.step((rng.random(best.shape) * best).argmax(axis=1))
        returns += frame.reward[frame.kind >= Kind.TERMINATED].tolist()

    won = np.mean(np.array(returns) > 0)
    assert wins <= won <= wins + 0.3


def test_a_full_column_is_refused_by_name() -> None:
    game = InTurn(ConnectFour(1, np.random.default_rng(0)))
    play(game, [3] * 6)

    with pytest.raises(ValueError, match="column 3 of table 0 is full"):
        game.step(np.array([3]))


def test_a_position_is_read_back_from_what_a_side_sees_of_it() -> None:
    """Every position of random games, wins and full boards among them; of floats as of bytes."""
    world = ConnectFour(30, np.random.default_rng(3), opening=4)
    game, rng, ends = InTurn(world), np.random.default_rng(4), 0
    frame = game.reset()
    while ends < 60:
        for seen in (frame.obs["board"], frame.obs["board"].astype(np.float32)):
            positions = world.position_of({"board": seen})
            assert positions.dtype == np.int8
            np.testing.assert_array_equal(world.look(positions)["board"], frame.obs["board"])
        opened = frame.kind != Kind.TERMINATED
        now = world.position_of({"board": frame.obs["board"][opened]})
        np.testing.assert_array_equal(now, world.positions(frame.stream[opened]))
        ends += int((~opened).sum())
        mask = np.zeros((30, COLUMNS), np.uint8)
        mask[frame.stream[opened]] = frame.mask[opened]
        frame = game.step((rng.random(mask.shape) * mask).argmax(axis=1))
