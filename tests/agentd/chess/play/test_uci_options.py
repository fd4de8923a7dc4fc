"""The options of the UCI engine, and the settings of a search that follow from them."""

import pytest

from agentd.chess.play.uci_options import OPTIONS, UciOptions


def test_options_are_checked_and_named_in_any_case() -> None:
    options = UciOptions()
    assert options.set("multipv", "3") == "MultiPV"
    assert options.settings(None, None).multipv == 3
    with pytest.raises(ValueError, match="whole number from 1 to 100, got 0"):
        options.set("MultiPV", "0")
    with pytest.raises(ValueError, match="expected true or false, got 1"):
        options.set("Ponder", "1")
    with pytest.raises(ValueError, match="no option Node; did you mean Nodes"):
        options.set("Node", "1")
    assert len(list(options.announce())) == len(OPTIONS)


def test_options_bound_what_go_asks() -> None:
    options = UciOptions()
    assert (options.settings(900, 4).nodes, options.settings(900, 4).depth) == (900, 4)
    options.set("Nodes", "100")
    options.set("Depth", "2")
    options.set("Temperature", "50")
    settings = options.settings(900, None)
    assert (settings.nodes, settings.depth, settings.temperature) == (100, 2, 0.5)


def test_limited_strength_plays_the_policy_of_a_rating() -> None:
    options = UciOptions()
    assert options.rating is None
    options.set("UCI_LimitStrength", "true")
    options.set("UCI_Elo", "1200")

    assert options.rating == 1200
    assert options.settings(5_000, 9).nodes == 1
    assert options.settings(5_000, 9).guarded


def test_games_are_of_chance_unless_a_seed_is_asked_for() -> None:
    options = UciOptions()
    assert len({options.draw_seed() for _ in range(5)}) == 5
    for seed in ("0", "7"):
        options.set("Seed", seed)
        assert {options.draw_seed() for _ in range(5)} == {int(seed)}
