"""How many updates a row is worth in a running game: `agentd.learner.live`."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.learner.live import FORGET_S, MIN_PER_ROW, UpdateBudget, too_slow


class Game:
    """Rows at ``fps`` and a learner whose updates take ``cost`` seconds, on a made-up clock."""

    def __init__(self, fps: float, cost: float, max_per_row: float = 8.0, rows: int = 0) -> None:
        self.fps, self.cost, self.now, self.rows = fps, cost, 100.0, float(rows)
        self.budget = UpdateBudget(max_per_row, rows, self.now)
        self.updates = 0

    def play(self, seconds: float) -> tuple[float, float]:
        """Play and learn for so long; return updates and rows a second."""
        until, updates, rows = self.now + seconds, self.updates, self.rows
        while self.now < until:
            self.budget.see(int(self.rows), self.now)
            step = 0.002 if self.fps else 0.1
            if self.budget.owed >= 1.0:
                step = self.cost
                self.budget.pay(step)
                self.updates += 1
            self.now += step
            self.rows += self.fps * step
        return (self.updates - updates) / seconds, (self.rows - rows) / seconds


@pytest.mark.parametrize(
    ("fps", "cost", "wanted"),
    [
        (60, 1 / 1000, 8 * 60),  # time for more than the ceiling
        (60, 1 / 500, 0.8 * 500),  # 80 % of the time is learned
        (960, 1 / 500, 0.8 * 500),  # sixteen games: 0.42 updates a row
        (1_600, 1 / 500, 0.25 * 1_600),  # the floor
    ],
)
def test_as_many_updates_as_there_is_time_for_between_floor_and_ceiling(fps, cost, wanted):
    game = Game(fps, cost)
    game.play(5)
    assert game.play(10)[0] == pytest.approx(wanted, rel=0.06)


def test_a_learner_that_cannot_make_the_floor_forgets_what_is_older_than_a_second():
    game = Game(100_000, 1 / 500)
    game.play(10)
    assert game.budget.owed <= 0.25 * 100_000 * 1.1
    assert game.budget.forgotten > 100_000
    game.fps = 0
    game.play(1.1)
    assert game.budget.owed < 1


def test_a_cold_start_never_learns_more_than_the_ceiling_from_the_first_rows():
    game = Game(60, 1 / 5000)
    for _ in range(50):
        game.play(0.1)
        assert game.updates <= 8 * game.rows + 1


def test_rows_of_before_are_owed_nothing():
    game = Game(0, 1 / 500, rows=1_000_000)
    game.play(1)
    assert game.updates == 0


def test_a_pause_of_ten_minutes_leaves_no_debt_and_no_slow_start():
    game = Game(60, 1 / 500)
    game.play(10)
    game.fps = 0
    game.play(600)
    assert game.play(1)[0] == 0
    game.fps = 60
    game.play(3)
    assert game.play(10)[0] == pytest.approx(400, rel=0.06)


def test_a_game_that_slows_down_and_speeds_up_is_followed_within_seconds():
    game = Game(240, 1 / 1000)
    game.play(10)
    assert game.play(5)[0] == pytest.approx(800, rel=0.06)
    game.fps = 5
    game.play(6)
    assert game.play(5)[0] == pytest.approx(40, rel=0.1)
    game.fps = 240
    game.play(12)  # what was owed at the old rate is made, or forgotten
    assert game.play(5)[0] == pytest.approx(800, rel=0.06)


def test_the_next_update_falls_at_the_row_that_makes_the_debt_whole():
    budget = UpdateBudget(0.25, 100, 0.0)
    assert (budget.next_rows, budget.owed) == (104, 0)
    budget.see(103, 0.01)
    assert (budget.next_rows, budget.owed) == (104, pytest.approx(0.75))
    budget.see(104, 0.02)
    assert (budget.next_rows, budget.owed) == (104, 1.0)
    budget.pay(0.001)
    assert budget.owed == 0
    assert math.isclose(budget.updates_per_second, 1000)


def test_what_is_cleared_is_not_owed():
    budget = UpdateBudget(8.0, 0, 0.0)
    budget.see(10, 0.1)
    budget.clear()
    assert budget.owed == 0


EVENTS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 3), st.integers(0, 5_000)),  # rows that come
        st.one_of(st.floats(0, 0.05), st.floats(0, 3), st.sampled_from([600.0, 1e6])),  # seconds
        st.integers(0, 40),  # updates that the learner then tries to make
        st.floats(1e-6, 2.0),  # seconds of each
    ),
    max_size=60,
)


@settings(max_examples=100, deadline=None)
@given(events=EVENTS, most=st.sampled_from([0.1, 0.25, 1.0, 8.0, 32.0]))
def test_whatever_happens_no_row_is_worth_more_than_the_ceiling_and_old_debt_is_gone(events, most):
    now, rows, made = 5.0, 1_000, 0
    budget = UpdateBudget(most, rows, now)
    seen = []  # (when, rows) that came
    for new, pause, tries, cost in events:
        now, rows = now + pause, rows + new
        budget.see(rows, now)
        seen.append((now, new))
        assert min(MIN_PER_ROW, most) <= budget.per_row <= most
        recent = sum(
            n for at, n in seen if now - at <= FORGET_S + 0.05
        )  # debts close in time merge
        assert budget.owed <= most * recent * (1 + 1e-9) + 1e-9
        for _ in range(tries):
            if budget.owed < 1.0:
                break
            budget.pay(cost)
            made, now = made + 1, now + cost
        total = made + budget.owed + budget.forgotten
        assert total <= most * (rows - 1_000) * (1 + 1e-9) + 1e-6
        assert budget.next_rows >= rows


@pytest.mark.parametrize("kind", ["slow", "asleep", "nobody plays"])
def test_after_a_pause_or_a_slow_stretch_the_game_is_worth_what_it_was(kind):
    game = Game(240, 1 / 500)
    game.play(4)
    if kind == "asleep":
        game.now += 600  # and nobody looked
    else:
        game.fps = 5 if kind == "slow" else 0
        game.play(8)
        assert game.budget.rows_per_second == pytest.approx(game.fps, abs=5)
        game.fps = 240
    game.play(20 if kind == "slow" else 8)  # what was owed for more is made, or forgotten
    assert game.play(3)[0] == pytest.approx(0.8 * 500, rel=0.1)
    assert game.updates <= 8 * game.rows + 1


def readings(**changes):
    before = {
        "updates": 100, "updates_forgotten": 0, "updates_per_row": 2.0,
        "rows_per_second": 60.0, "possible_updates_per_second": 150.0,
    }  # fmt: skip
    return before, before | {"updates": 220} | changes


def test_a_learner_that_is_too_slow_is_said_to_be():
    assert too_slow(*readings()) == ""
    assert too_slow(*readings(updates_forgotten=5)) == ""
    nan = float("nan")
    assert too_slow(*readings(updates_per_row=nan, updates=nan, updates_forgotten=nan)) == ""
    floor = too_slow(*readings(updates_per_row=0.25, rows_per_second=1000.0))
    assert floor == (
        "the learner is too slow for 1,000 rows a second: 0.25 updates a row, the least"
    )
    both = {"updates_per_row": 0.25, "rows_per_second": 1000.0, "updates_forgotten": 40}
    assert too_slow(*readings(**both)).endswith(
        "the least and 25% of the updates that it owes it forgets"
    )
