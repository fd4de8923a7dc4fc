"""Duel: flight, guns and rewards, and what the planes see of each other."""

import math

import numpy as np
import pytest

from agentd import games
from agentd.games.duel import (
    BOOST,
    BOOST_RESTS,
    BULLET_LIVES,
    BULLET_SPEED,
    FASTEST,
    FIRE,
    GUN_RESTS,
    HEALTH,
    HIT,
    LEFT,
    MAX_STEPS,
    PASSED,
    RADIUS,
    RIGHT,
    STRAIGHT,
    TURN,
    Duel,
    fly_by_rules,
    shortest,
)
from agentd.games.game import Kind
from agentd.games.two_player import Against, SelfPlay

ALL = np.array([0])


@pytest.fixture
def duel() -> Duel:
    """One sky: seat 0 in the middle flies to the right, seat 1 is 0.2 ahead and flies up."""
    world = Duel(1, np.random.default_rng(0))
    world.begin(ALL)
    world.place[0] = (0.5, 0.5), (0.7, 0.5)
    world.heading[0] = 0.0, math.pi / 2
    return world


def fly(world: Duel, mine: int, its: int = STRAIGHT, steps: int = 1) -> list[list[float]]:
    return [world.advance(ALL, np.array([[mine, its]])).reward[0].tolist() for _ in range(steps)]


def see(world: Duel, seat: int) -> np.ndarray:
    return world.observe(ALL, np.array([seat]))["sky"][0]


def test_left_turns_left_and_the_edges_meet(duel: Duel) -> None:
    fly(duel, LEFT, RIGHT)
    assert duel.heading[0].tolist() == pytest.approx([TURN, math.pi / 2 - TURN])

    duel.place[0, 0] = 0.999, 0.5
    fly(duel, STRAIGHT)
    assert duel.place[0, 0, 0] < 0.1
    assert shortest(np.array([0.9, -0.9])).tolist() == pytest.approx([-0.1, 0.1])


def test_three_hits_win_and_the_rewards_sum_to_zero(duel: Duel) -> None:
    duel.heading[0, 1] = 0.0
    duel.speed[0] = FASTEST
    rewards = []
    while not rewards or abs(rewards[-1][0]) < 1:
        rewards += fly(duel, FIRE)
        assert len(rewards) < 60

    mine, its = np.array(rewards).T
    assert (mine + its == 0).all()
    assert mine.sum() == pytest.approx(3 * HIT + 1)
    assert sorted(mine[mine > 0]) == pytest.approx([HIT, HIT, HIT + 1])
    assert duel.health[0].tolist() == [3, 0]


def test_a_gun_and_a_boost_rest(duel: Duel) -> None:
    fly(duel, FIRE, BOOST)
    assert (duel.gun[0, 0], duel.boost[0, 1]) == (GUN_RESTS, BOOST_RESTS)
    before = duel.life[0, 0].astype(bool).sum()

    fly(duel, FIRE, BOOST, steps=GUN_RESTS - 1)

    assert duel.life[0, 0].astype(bool).sum() == before == 1
    assert duel.boost[0, 1] == BOOST_RESTS - GUN_RESTS + 1


def test_shaping_rewards_aiming_and_sums_to_the_first_state() -> None:
    world = Duel(1, np.random.default_rng(3), shaping=0.1)
    plain = Duel(1, np.random.default_rng(3))
    rng, sums = np.random.default_rng(4), np.zeros((2, 2))
    for one in (world, plain):
        one.begin(ALL)
    first = world._advantage(ALL)[0]
    over = False
    while not over:
        actions = rng.integers(7, size=(1, 2))
        shaped, bare = world.advance(ALL, actions), plain.advance(ALL, actions)
        sums += shaped.reward[0], bare.reward[0]
        over = bool(shaped.terminated[0])

    assert sums[0] - sums[1] == pytest.approx([-0.1 * first, 0.1 * first], abs=1e-4)


def test_at_the_time_limit_the_healthier_plane_wins(duel: Duel) -> None:
    duel.elapsed[0] = MAX_STEPS - 1
    duel.health[0] = 2, 1
    done = duel.advance(ALL, np.array([[STRAIGHT, STRAIGHT]]))

    assert done.terminated[0]
    assert done.reward[0].tolist() == [1.0, -1.0]

    duel.health[0] = 2, 2
    assert duel.advance(ALL, np.array([[STRAIGHT, STRAIGHT]])).reward[0].tolist() == [0.0, 0.0]


def test_a_plane_sees_with_its_own_eyes(duel: Duel) -> None:
    mine, its = see(duel, 0), see(duel, 1)

    assert mine.shape == (56,)
    assert mine[6:8] == pytest.approx([4 * 0.2, 0.0], abs=1e-6)  # straight ahead
    assert mine[9] == pytest.approx(1.0)  # cosine of the bearing
    assert its[6:8] == pytest.approx([0.0, 4 * 0.2], abs=1e-6)  # to the left
    assert mine[11] == pytest.approx(its[9], abs=1e-6)  # our bearing from it is what it sees


def test_a_plane_sees_what_its_next_bullet_would_do(duel: Duel) -> None:
    duel.heading[0, 1] = 0.0  # it flies away from our gun: no turn is lacking
    gap = BULLET_SPEED - duel.speed[0, 1]
    assert see(duel, 0)[20:24] == pytest.approx([1, 0, 0, 0.2 / gap / BULLET_LIVES], abs=1e-6)
    assert see(duel, 1)[24:28] == pytest.approx(see(duel, 0)[20:24], abs=1e-6)

    duel.heading[0, 1] = math.pi / 2  # it flies to the left: so must we turn
    cosine, sine, aside, _ = see(duel, 0)[20:24]
    assert sine / cosine == pytest.approx(duel.speed[0, 1] / BULLET_SPEED, abs=1e-6)
    assert aside > 0


def test_a_bullet_that_will_hit_is_seen_to_come_within_its_radius() -> None:
    world, rng, every = (
        Duel(400, np.random.default_rng(6)),
        np.random.default_rng(7),
        np.arange(400),
    )
    world.begin(every)
    world.place[:, 1] = (world.place[:, 0] + rng.uniform(-0.3, 0.3, (400, 2))) % 1
    fire = np.tile([FIRE, STRAIGHT], (400, 1))
    world.advance(every, fire)
    seen = world.observe(every, np.ones(400, np.int64))["sky"][:, 28:36]  # its newest bullet
    for _ in range(BULLET_LIVES - 1):
        world.advance(every, np.zeros((400, 2), np.int64))
    hit = (world.health[:, 1] < HEALTH) & (seen[:, 2] > 0)

    nearest = np.linalg.norm(seen[:, 4:6], axis=1)
    assert (nearest[hit] < RADIUS / PASSED).all()
    assert (nearest[~hit & (seen[:, 2] > 0)] > 0.9 * RADIUS / PASSED).mean() > 0.9
    assert 10 < hit.sum() < 390


def test_the_newest_bullet_is_seen_first(duel: Duel) -> None:
    duel.heading[0, 1] = math.pi / 2
    duel.gun[0, 0] = 0
    fly(duel, FIRE, steps=GUN_RESTS + 1)  # the second one leaves as the gun has rested

    lives = see(duel, 1)[28 + 2 : 28 + 16 : 8]
    assert lives.tolist() == sorted(lives.tolist(), reverse=True)
    assert (lives > 0).all()


def test_what_is_seen_does_not_depend_on_where_the_sky_begins(duel: Duel) -> None:
    fly(duel, FIRE, FIRE)
    before = see(duel, 0), see(duel, 1)

    duel.place += 0.37
    duel.place %= 1
    duel.bullet = (duel.bullet + 0.37) % 1

    for seat in (0, 1):
        np.testing.assert_allclose(see(duel, seat), before[seat], atol=1e-6)


def test_both_seats_have_a_row_each_step_and_opposite_returns() -> None:
    game = SelfPlay(Duel(2, np.random.default_rng(1)))
    rng, total, ended = np.random.default_rng(2), np.zeros(4), 0
    game.reset()
    for _ in range(MAX_STEPS + 5):
        frame = game.step(rng.integers(7, size=4))
        assert frame.stream[:4].tolist() == [0, 1, 2, 3]
        total += frame.reward[:4]
        closed = frame.kind[:4] >= Kind.TERMINATED
        assert closed[0] == closed[1]
        ended += int(closed.sum())
    assert total[0::2].tolist() == pytest.approx((-total[1::2]).tolist(), abs=1e-5)
    assert ended >= 4


def test_the_script_shoots_down_a_random_plane_and_is_equal_to_itself() -> None:
    chance = games.make("duel-script", 32, seed=1)
    mirror = Against(Duel(32, np.random.default_rng(2)), fly_by_rules)
    rng = np.random.default_rng(3)
    lost = _returns(chance, lambda: rng.integers(7, size=32))
    even = _returns(mirror, lambda: fly_by_rules(mirror.world, np.arange(32), 0))

    assert np.mean(lost < 0) > 0.9
    assert abs(even.mean()) < 0.6


def _returns(game, choose) -> np.ndarray:
    """The return of each stream's first episode."""
    game.reset()
    total, first = np.zeros(32), np.ones(32, bool)
    for _ in range(MAX_STEPS):
        frame = game.step(choose())
        total += frame.reward[:32] * first
        first &= frame.kind[:32] < Kind.TERMINATED
    assert not first.any()
    return total
