"""Which games and positions are kept: decided from a game's tags, before a move of it is parsed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

SPEEDS = ("ultrabullet", "bullet", "blitz", "rapid", "classical", "correspondence")
"""Lichess's names, by the time that a game of 40 moves takes; see ``speed_of``."""

REASONS = (
    "kept",
    "cut off",  # the dump broke in the middle of it
    "too long",  # megabytes of text
    "no tags",
    "variant",
    "from position",
    "no result",
    "abandoned",
    "unrated",
    "bot",
    "speed",
    "no rating",
    "rating",
    "rating gap",
    "bad position",  # the FEN tag is none
    "no moves",
    "illegal move",
    "ambiguous move",  # two pieces could make it
    "unreadable move",  # a word that is no move
    "not closed",  # it ends inside a comment or a variation
    "too few plies",
    "player cap",
)
"""Why a game was dropped; "kept" where it was not. A game's code is its place here."""
CODE = {reason: code for code, reason in enumerate(REASONS)}

RESULTS = {"1-0": 1, "0-1": -1, "1/2-1/2": 0}
"""Result tags, in White's view."""

_CLOCK = re.compile(r"(\d{1,6})(?:\+(\d{1,6}))?\Z")
_ENDINGS = {"abandoned", "rules infraction"}


@dataclass(frozen=True, slots=True)
class Filter:
    """What a game and a position must be like. Ratings in points, times in seconds.

    rating              least and greatest rating of both players; None where it does not matter
    rating_gap          greatest difference between the two
    speeds              those kept, of ``SPEEDS``
    rated, standard     keep only rated games; only those that begin as chess does
    bots                keep games of accounts that are marked as programs
    min_plies           half-moves that a game has at least
    min_clock           a position is dropped where its mover has less time left; 0 for none
    skip_plies          opening half-moves dropped of every game
    games_per_player    games kept of one player, the first ones; None for all
    """

    rating: tuple[int, int] | None = None
    rating_gap: int | None = None
    speeds: frozenset[str] = field(default=frozenset(SPEEDS))
    rated: bool = True
    standard: bool = True
    bots: bool = False
    min_plies: int = 1
    min_clock: int = 0
    skip_plies: int = 0
    games_per_player: int | None = None

    def reason(self, tags: Mapping[str, str]) -> str:
        """Return why a game with these tags is dropped, "kept" where it is not."""
        return _of_no_use(tags) or self._of_other_kind(tags) or self._of_others(tags) or "kept"

    def _of_other_kind(self, tags: Mapping[str, str]) -> str | None:
        if self.standard and ("FEN" in tags or _variant(tags) == "from position"):
            return "from position"
        if self.rated and not is_rated(tags):
            return "unrated"
        if not self.bots and "BOT" in (tags.get("WhiteTitle"), tags.get("BlackTitle")):
            return "bot"
        every = len(self.speeds) == len(SPEEDS)
        return None if every or speed_of(tags.get("TimeControl", "")) in self.speeds else "speed"

    def _of_others(self, tags: Mapping[str, str]) -> str | None:
        if self.rating is None and self.rating_gap is None:
            return None
        low, high = sorted((rating_of(tags, "WhiteElo"), rating_of(tags, "BlackElo")))
        if not low:
            return "no rating"
        if self.rating is not None and not self.rating[0] <= low <= high <= self.rating[1]:
            return "rating"
        if self.rating_gap is not None and high - low > self.rating_gap:
            return "rating gap"
        return None


def _of_no_use(tags: Mapping[str, str]) -> str | None:
    if not tags:
        return "no tags"
    if _variant(tags) not in ("", "standard", "chess", "from position"):
        return "variant"
    if tags.get("Result", "*") not in RESULTS:
        return "no result"
    return "abandoned" if tags.get("Termination", "").lower() in _ENDINGS else None


def _variant(tags: Mapping[str, str]) -> str:
    return tags.get("Variant", "").lower()


def is_rated(tags: Mapping[str, str]) -> bool:
    """Whether a game was rated: its event says so, or a rating changed by it."""
    event = tags.get("Event", "").lower()
    if "casual" in event or "unrated" in event:
        return False
    return "rated" in event or "WhiteRatingDiff" in tags or "BlackRatingDiff" in tags


def rating_of(tags: Mapping[str, str], tag: str) -> int:
    """Return the rating in ``tag``, 0 where there is none."""
    text = tags.get(tag, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 5 else 0


def start_clock(tags: Mapping[str, str]) -> int | None:
    """Return the seconds that a player begins with, None where the tag does not say."""
    found = _CLOCK.match(tags.get("TimeControl", ""))
    return int(found[1]) if found else None


def speed_of(time_control: str) -> str:
    """Return lichess's speed of ``180+2``, by start + 40 increments; "" if unreadable."""
    if time_control == "-":
        return "correspondence"
    found = _CLOCK.match(time_control)
    if not found:
        return ""
    seconds = int(found[1]) + 40 * int(found[2] or 0)
    bounds = ((30, "ultrabullet"), (180, "bullet"), (480, "blitz"), (1500, "rapid"))
    return next((name for bound, name in bounds if seconds < bound), "classical")
