"""Calibration: the level that wins a wanted share, of a rival whose strength is known."""

import numpy as np
import pytest

from agentd.rl.strength import WinShare, calibrate, estimate_level, points_of


def rival(middle, slope, ceiling=1.0):
    """Games whose chance to be won rises with the level as a logistic curve, up to a ceiling."""

    def play(level, games, seed):
        chance = ceiling / (1 + np.exp(-slope * (level - middle)))
        return (np.random.default_rng(seed).random(games) < chance).astype(float).tolist()

    return play


@pytest.mark.parametrize(("middle", "slope"), [(50, 0.05), (30, 0.1), (55, 0.03), (90, 0.2)])
def test_shares_are_met_within_seven_points_whatever_the_curve(middle, slope):
    wanted = (0.25, 0.5, 0.75)
    off = []
    for seed in range(5):
        *_, low, mid, high = calibrate(rival(middle, slope), wanted, 6, 100, 400, 1_000 * seed)
        off += [abs(m.share - want) for m, want in zip((low, mid, high), wanted, strict=True)]
    assert np.mean(np.array(off) <= 0.07) > 0.9
    assert np.mean(off) < 0.03


def test_the_same_seed_finds_the_same_and_no_probe_plays_the_games_of_another():
    seeds = []

    def play(level, games, seed):
        seeds.append(seed)
        return rival(40, 0.06)(level, games, seed)

    one, two = (list(calibrate(play, (0.3, 0.6), 3, 50, 200, 5)) for _ in range(2))
    assert one == two
    assert len(set(seeds[:6])) == 6
    assert set(seeds[6:8]) == {5}  # the games of `rl eval --seed 5`, which no probe has played
    assert [mark.games for mark in one] == [50] * 6 + [200] * 2


def test_a_share_that_no_level_wins_is_told_at_the_end_of_the_scale():
    *_, mark = calibrate(rival(60, 0.08, ceiling=0.5), (0.8,), 6, 100, 400, 0)
    assert mark.level == 100
    assert mark.unreachable(0.8)
    assert not mark.unreachable(0.45)
    *_, mark = calibrate(rival(-30, 0.05), (0.25,), 6, 100, 400, 0)
    assert mark.level == 0
    assert mark.unreachable(0.25)


def test_one_probe_moves_the_estimate_towards_the_share_and_stays_on_the_scale():
    assert estimate_level([], 0.5) == 50
    assert estimate_level([WinShare(50, 0.3, 100)], 0.5) > 55
    assert estimate_level([WinShare(50, 1.0, 100)], 0.1) < 20
    assert estimate_level([WinShare(0, 1.0, 100), WinShare(50, 1.0, 100)], 0.05) == 0


def test_the_interval_is_wilson_s():
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3
    for won, games, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)):
        assert WinShare(0, won / games, games).interval == pytest.approx((low, high), abs=5e-5)
    assert WinShare(0, 0 / 20, 20).interval == pytest.approx((0, 0.1611), abs=5e-5)
    assert WinShare(0, 1 / 29, 29).interval == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_a_game_is_won_or_lost_by_the_sign_of_its_return():
    assert points_of([1.0, -0.5, 0.0, 1e-8, 3]) == [1, 0, 0.5, 0.5, 1]
