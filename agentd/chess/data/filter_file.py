"""The filter of ``chess prepare`` as a file: strict YAML; an error names the line."""

from pathlib import Path
from typing import Annotated, Literal, get_args

from msgspec import Meta
from msgspec.structs import asdict

from agentd.config.convert import convert, parse_layer
from agentd.engine.strictyaml import Record
from agentd.errors import MissingInput
from agentd.games.chess.data.filter import Filter

Rating = Annotated[int, Meta(ge=1, le=4000)]
Speed = Literal["ultrabullet", "bullet", "blitz", "rapid", "classical", "correspondence"]


class RatingRange(Record, frozen=True, kw_only=True):
    """Least and greatest rating of both players."""

    min: Rating = 1
    max: Rating = 4000

    def __post_init__(self) -> None:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) is more than max ({self.max})")


class FilterConfig(Record, frozen=True, kw_only=True):
    """Which games are kept, by their tags, and which of their positions."""

    rating: RatingRange | None = None  # of both players; null keeps games without ratings too
    rating_gap: Annotated[int, Meta(ge=0, le=4000)] | None = None  # greatest difference
    speeds: Annotated[tuple[Speed, ...], Meta(min_length=1)] = get_args(Speed)  # lichess's names
    rated: bool = True  # rated games only
    standard: bool = True  # only games that begin as chess does; variants are never kept
    bots: bool = False  # games of accounts with the title BOT
    min_plies: Annotated[int, Meta(ge=1, le=1000)] = 10  # half-moves of a game
    min_clock_s: Annotated[int, Meta(ge=0, le=65_534)] = 30  # the mover's time; 0 keeps all
    skip_plies: Annotated[int, Meta(ge=0, le=1000)] = 0  # opening half-moves dropped
    games_per_player: Annotated[int, Meta(ge=1, le=60_000)] | None = None  # the first ones

    def build(self) -> Filter:
        """The filter that this describes."""
        values = asdict(self) | {
            "rating": None if self.rating is None else (self.rating.min, self.rating.max),
            "speeds": frozenset(self.speeds),
        }
        return Filter(min_clock=values.pop("min_clock_s"), **values)


def load_filter(path: Path | None) -> FilterConfig:
    """Read a filter file; None is the default filter. Raises MissingInput, ConfigError."""
    if path is None:
        return FilterConfig()
    if not path.is_file():
        raise MissingInput(f"no filter file {path}")
    return convert(parse_layer(path.read_bytes(), str(path), source="file"), FilterConfig)
