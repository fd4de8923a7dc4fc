"""The options that ``chess uci`` offers: one table, read and checked as UCI writes them."""

import difflib
import random
from collections.abc import Iterator
from dataclasses import dataclass

from agentd.games.chess.search.settings import UNLIMITED, SearchSettings

NO_MODEL = "<shipped>"


@dataclass(frozen=True, slots=True)
class Option:
    """One option: ``kind`` is UCI's check, spin, string or button."""

    kind: str
    default: int | bool | str = ""
    low: int = 0
    high: int = 0
    ignored: str = ""  # why it makes no difference; "" for one that does

    def announce(self, name: str) -> str:
        """The line that announces it to a GUI."""
        text = f"option name {name} type {self.kind}"
        if self.kind == "button":
            return text
        shown = str(self.default).lower() if self.kind == "check" else str(self.default)
        bounds = f" min {self.low} max {self.high}" if self.kind == "spin" else ""
        return f"{text} default {shown}{bounds}"

    def read(self, name: str, text: str) -> int | bool | str:
        """The value that ``text`` means. Raises ValueError with what was expected."""
        if self.kind == "check":
            if text.lower() not in {"true", "false"}:
                raise ValueError(f"option {name}: expected true or false, got {text or 'nothing'}")
            return text.lower() == "true"
        if self.kind == "spin":
            try:
                value = int(text)
            except ValueError:
                value = self.low - 1
            if not self.low <= value <= self.high:
                wanted = f"a whole number from {self.low} to {self.high}"
                raise ValueError(f"option {name}: expected {wanted}, got {text or 'nothing'}")
            return value
        return text


OPTIONS: dict[str, Option] = {
    "Model": Option("string", NO_MODEL),  # a file, or `material`
    "Nodes": Option("spin", 0, 0, UNLIMITED),  # most nodes a move; 0: as the clock says
    "Depth": Option("spin", 0, 0, 100),  # deepest line; 0: no limit
    "Temperature": Option("spin", 0, 0, 500),  # hundredths; 0 plays the best move
    "Level": Option("spin", 100, 0, 100),  # 100 plays the best move; it goes before Temperature
    "Seed": Option("spin", -1, -1, 2**31 - 1),  # of draws; -1: every game another one
    "OwnBook": Option("check", True),  # openings of people, where a game's clock runs
    "MultiPV": Option("spin", 1, 1, 100),
    "Ponder": Option("check", False),
    "Move Overhead": Option("spin", 50, 0, 10_000),  # milliseconds lost on the way
    "UCI_LimitStrength": Option("check", False),  # plays as a person of UCI_Elo: no search
    "UCI_Elo": Option("spin", 1500, 800, 2600),
    "Clear Hash": Option("button"),
    # What programs set unasked.
    "Threads": Option("spin", 1, 1, 1024, "a search has one thread"),
    "Hash": Option("spin", 16, 1, 2**25, "a tree of at most 200,000 nodes takes what it needs"),
    "SyzygyPath": Option("string", "<empty>", ignored="no endgame tables are read"),
    "UCI_ShowWDL": Option("check", False, ignored="the network does not tell draws apart"),
    "UCI_AnalyseMode": Option("check", False, ignored="an analysis is searched as a game is"),
    "UCI_Opponent": Option("string", "<empty>", ignored="it plays alike against everybody"),
}


class UciOptions:
    """The values in force."""

    def __init__(self, **values: int | bool | str) -> None:
        self._values = {name: option.default for name, option in OPTIONS.items()} | values

    def announce(self) -> Iterator[str]:
        """Yield one line an option."""
        for name, option in OPTIONS.items():
            yield option.announce(name)

    def set(self, name: str, text: str) -> str:
        """Set an option, its name in any case, and return its name. Raises ValueError."""
        names = {known.lower(): known for known in OPTIONS}
        known = names.get(name.lower())
        if known is None:
            near = difflib.get_close_matches(name.lower(), names, 1)
            hint = f"; did you mean {names[near[0]]}?" if near else ""
            raise ValueError(f"no option {name}{hint}")
        self._values[known] = OPTIONS[known].read(known, text)
        return known

    def number(self, name: str) -> int:
        """The value of a spin or check."""
        return int(self._values[name])

    @property
    def model(self) -> str | None:
        """What the option Model names; None for the shipped model."""
        name = str(self._values["Model"])
        return None if name in {"", NO_MODEL, "<empty>"} else name

    @property
    def rating(self) -> int | None:
        """The rating to imitate, None to play as well as possible."""
        return self.number("UCI_Elo") if self.number("UCI_LimitStrength") else None

    def draw_seed(self) -> int:
        """The seed of a new game: the one asked for, else one of chance."""
        seed = self.number("Seed")
        return random.SystemRandom().getrandbits(31) if seed < 0 else seed

    def settings(self, nodes: int | None, depth: int | None) -> SearchSettings:
        """Settings of a search under the options and the limits of one ``go``."""
        if self.rating is not None:
            nodes = 1
        return SearchSettings(
            nodes=_least(nodes, self.number("Nodes")),
            depth=_least(depth, self.number("Depth")),
            temperature=self.number("Temperature") / 100,
            multipv=self.number("MultiPV"),
            guarded=self.rating is not None,
        )


def _least(asked: int | None, most: int) -> int | None:
    """The smaller of what was asked for and the option's bound, 0 being none."""
    if not most:
        return asked
    return most if asked is None else min(asked, most)
