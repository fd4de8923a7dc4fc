"""The filter: lichess's own words for speeds and ratings, each bound on its own."""

import pytest

from agentd.games.chess.data.filter import (
    SPEEDS,
    Filter,
    is_rated,
    rating_of,
    speed_of,
    start_clock,
)

GAME = {
    "Event": "Rated Blitz game",
    "Result": "1-0",
    "WhiteElo": "1500",
    "BlackElo": "1700",
    "TimeControl": "180+2",
}


@pytest.mark.parametrize(
    ("control", "speed"),
    [
        ("15+0", "ultrabullet"),
        ("29+0", "ultrabullet"),
        ("30+0", "bullet"),
        ("60+0", "bullet"),
        ("120+1", "bullet"),
        ("180+0", "blitz"),
        ("300+3", "blitz"),
        ("300+5", "rapid"),
        ("480+0", "rapid"),
        ("900+10", "rapid"),
        ("900+15", "classical"),
        ("1800+0", "classical"),
        ("600", "rapid"),
        ("60", "bullet"),
        ("-", "correspondence"),
        ("?", ""),
        ("", ""),
        ("40/9000:3600", ""),
    ],
)
def test_speed_is_lichess_s(control, speed):
    assert speed_of(control) == speed
    assert speed in (*SPEEDS, "")


def test_clocks_and_ratings_that_are_none():
    assert start_clock({"TimeControl": "600+5"}) == 600
    assert start_clock({"TimeControl": "600"}) == 600
    assert start_clock({"TimeControl": "-"}) is None
    assert start_clock({}) is None
    assert [rating_of({"a": text}, "a") for text in ("1500", "?", "", "-5", "99999", "²")] == [
        *(1500, 0, 0, 0, 0, 0)
    ]


def test_rated_by_its_event_or_by_what_it_changed():
    assert is_rated({"Event": "rated blitz game"})
    assert is_rated({"Event": "Bullet Arena", "BlackRatingDiff": "-4"})
    assert not is_rated({"Event": "Bullet Arena"})
    assert not is_rated({"Event": "Casual Blitz game", "WhiteRatingDiff": "+0"})


@pytest.mark.parametrize(
    ("wanted", "changes", "reason"),
    [
        (Filter(), {}, "kept"),
        (Filter(rating=(1500, 1700)), {}, "kept"),
        (Filter(rating=(1501, 1700)), {}, "rating"),
        (Filter(rating=(1500, 1699)), {}, "rating"),
        (Filter(rating=(1, 4000)), {"WhiteElo": "?"}, "no rating"),
        (Filter(), {"WhiteElo": "?"}, "kept"),
        (Filter(rating_gap=200), {}, "kept"),
        (Filter(rating_gap=199), {}, "rating gap"),
        (Filter(speeds=frozenset({"rapid"})), {}, "speed"),
        (Filter(speeds=frozenset({"blitz"})), {}, "kept"),
        (Filter(speeds=frozenset({"blitz"})), {"TimeControl": "?"}, "speed"),
        (Filter(bots=True), {"WhiteTitle": "BOT"}, "kept"),
        (Filter(), {"WhiteTitle": "GM"}, "kept"),
        (Filter(standard=False), {"Variant": "From Position", "FEN": "x"}, "kept"),
        (Filter(standard=False, rated=False), {"Variant": "Horde"}, "variant"),
    ],
)
def test_each_bound(wanted, changes, reason):
    assert wanted.reason(GAME | changes) == reason
