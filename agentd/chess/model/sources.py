"""What a run of training learns from: games, lessons, and a model to begin with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentd.chess.data.shards import open_training
from agentd.chess.model.model import ChessModel, load_bot
from agentd.chess.model.recipe import ChessRecipe
from agentd.errors import MissingInput
from agentd.games.chess.board.position import Positions
from agentd.games.chess.data.batches import ChessBatches, ChessRows


@dataclass(frozen=True)
class TrainingSources:
    """The shards of games, and what a recipe may want beside them.

    facts      rows and checksums of all sources: a run goes on only with the same ones
    lessons    further shards by name, of which the recipe says how much is learned
    start      a trained model to begin with; None draws weights by the recipe's seed
    """

    games: Sequence[Positions]
    facts: Mapping[str, Any]
    lessons: Mapping[str, Sequence[Positions]] = field(default_factory=dict)
    start: ChessModel | None = None

    def batches(self, recipe: ChessRecipe) -> ChessBatches:
        """Return the batches that ``recipe`` asks for. Raises MissingInput."""
        parts = []
        try:
            for name in recipe.lessons.folders:
                if name not in self.lessons:
                    raise ValueError(f"the recipe wants lessons of the kind {name!r}")
                rows = ChessRows(self.lessons[name])
                parts.append((rows, recipe.lessons.rows(name, recipe.batch)))
            games, best = ChessRows(self.games), recipe.lessons.rows("best", recipe.batch)
            return ChessBatches(games, recipe.batch, recipe.seed, recipe.mirror, best, parts)
        except ValueError as fault:
            raise MissingInput(str(fault), hint="`chess lessons` makes lessons") from None


def open_sources(
    recipe: ChessRecipe, games: Path, lessons: Path | None, init: Path | None
) -> TrainingSources:
    """Open folders of shards and the model to begin with, a file or a run.

    Raises MissingInput, ShardsDamaged, and what a model file may be refused for.
    """
    opened, facts = open_training(games)
    taught: dict[str, Sequence[Positions]] = {}
    if lessons is not None:
        for name in recipe.lessons.folders:
            taught[name], facts[name] = open_training(lessons / name)
    start = None if init is None else load_bot(init)
    if start is not None:
        facts["start"] = start.facts
    return TrainingSources(opened, facts, taught, start)
