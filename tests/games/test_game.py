"""The pieces that games share."""

from __future__ import annotations

import numpy as np

from agentd.games.game import Kind, outcome


def test_an_end_by_the_rules_beats_a_limit():
    terminated = np.array([False, True, False, True])
    truncated = np.array([False, False, True, True])

    kind = outcome(terminated, truncated)

    assert kind.tolist() == [Kind.MID, Kind.TERMINATED, Kind.TRUNCATED, Kind.TERMINATED]


def test_kinds_are_the_numbers_of_the_wire():
    assert [kind.value for kind in Kind] == [0, 1, 2, 3]
    assert [kind.name for kind in Kind] == ["FIRST", "MID", "TERMINATED", "TRUNCATED"]
