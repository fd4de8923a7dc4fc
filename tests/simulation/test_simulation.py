"""The daemon in its simulated world: promises kept under every fault, and planted defects found."""

import re

import pytest

from tests.simulation.defects import DEFECTS
from tests.simulation.world import simulate

RARE = ("answers too early", "believes what it reads")
"""What only a rare fault at the wrong moment shows: some seeds pass before one has it."""


def test_the_same_seed_is_the_same_history():
    first, second, other = (simulate(seed, 600) for seed in (3, 3, 4))
    assert first.history == second.history != other.history
    assert first.faults == second.faults
    assert (first.frames, first.facts) == (second.frames, second.facts)


@pytest.mark.parametrize("durability", ["always", "1s", "os"])
def test_promises_hold_whatever_goes_wrong(durability):
    outcome = simulate(7, 3000, durability=durability)
    assert not outcome.violation, outcome
    assert outcome.faults.total() > 15
    assert outcome.facts["rows"] or outcome.facts["rows_lost_to_power"]


@pytest.mark.long
def test_who_comes_back_after_newer_rows_took_a_rows_place_is_told():
    outcome = simulate(1013, 20_000)
    assert not outcome.violation, outcome


@pytest.mark.parametrize(
    ("seed", "frames"),
    [
        (30054, 1300),  # power fails, and at the next stop a checkpoint counted rows of before it
        pytest.param(30047, 14_200, marks=pytest.mark.long),  # a folder's name was not synced
    ],
)
def test_what_a_seed_has_found_stays_mended(seed, frames):
    outcome = simulate(seed, frames)
    assert not outcome.violation, outcome


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long if name in RARE else ()) for name in DEFECTS]
)
@pytest.mark.timeout(1200)
def test_a_planted_defect_is_found(name):
    plant, said = DEFECTS[name]
    with plant():
        for seed in range(1, 200 if name in RARE else 20):
            outcome = simulate(seed, 4000, durability="always")
            if outcome.violation:
                break
    assert re.search(said, outcome.violation), outcome


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(100, 110))
def test_promises_hold_for_long(seed):
    outcome = simulate(seed, 30_000)
    assert not outcome.violation, outcome
