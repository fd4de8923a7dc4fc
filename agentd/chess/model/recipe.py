"""A chess model as a record: which networks, how they learn; the way YAML writes it.

    policy: {layers: [{dense: 512}, relu, {dense: 256}, relu]}
    value: {layers: [{dense: 128}, relu, {dense: 32}, relu]}

Each head is a network of its own over the same inputs, so a search may compute the value alone:

    policy  1,858 logits, one a move; cross-entropy with the move that was played
    value   one logit of the expected score; cross-entropy with the evaluation's, or the result
    q       1,858 scores, one after each move; Q-learning's Huber loss on the move played
"""

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from agentd.engine import strictyaml
from agentd.engine.errors import ModelError
from agentd.engine.layers import Dense, LayerSpec, Reshape
from agentd.engine.network import Network
from agentd.engine.network.spec import decode_hook
from agentd.engine.optim.spec import OptimizerSpec, ScheduleSpec
from agentd.engine.strictyaml import Document, Record
from agentd.errors import MissingInput
from agentd.games.chess.board.features import BOARD_CHANNELS, N_FEATURES, N_PLAIN, as_board
from agentd.games.chess.board.moves import N_MOVES

Head = Literal["policy", "value", "q"]
HEADS: tuple[Head, ...] = ("policy", "value", "q")
OUTPUTS = {"policy": N_MOVES, "value": 1, "q": N_MOVES}
FOLDER = "presets/chess"

Count = Annotated[int, Meta(ge=1, le=2**31)]
Share = Annotated[float, Meta(ge=0, le=1)]


class HeadSpec(Record, frozen=True, kw_only=True):
    """The hidden layers of one head; the kind of head decides its output layer."""

    layers: tuple[LayerSpec, ...] = ()


class LessonShares(Record, frozen=True, kw_only=True):
    """Which parts of every batch show best play instead of people's; 0 for none."""

    best: Share = 0.0  # positions of games in which the move played lost next to nothing
    judged: Share = 0.0  # judged positions of games, with the best move (`chess lessons`)
    puzzles: Share = 0.0  # positions of puzzles (`chess lessons`)

    def __post_init__(self) -> None:
        if self.best + self.judged + self.puzzles > 0.9:
            raise ValueError("expected `lessons` to leave a tenth to people's play, or more")

    @property
    def folders(self) -> tuple[str, ...]:
        """Those kinds of lessons that `chess lessons` makes."""
        return tuple(name for name in ("judged", "puzzles") if getattr(self, name))

    def rows(self, name: str, batch: int) -> int:
        """Rows of a batch that one kind of lesson takes."""
        share: float = getattr(self, name)
        return max(1, round(batch * share)) if share else 0


class ChessRecipe(Record, frozen=True, kw_only=True):
    """What `agentd chess train` makes of positions."""

    about: str = ""
    input: Literal["flat", "full", "board"] = "flat"  # full: with the planes about the kings
    policy: HeadSpec | None = None
    value: HeadSpec | None = None
    q: HeadSpec | None = None
    optimizer: OptimizerSpec = OptimizerSpec(lr=1e-3)
    batch: Annotated[int, Meta(ge=1, le=2**16)] = 512
    steps: Count = 60_000  # at the end of which the rate has fallen to nothing
    warmup: Annotated[int, Meta(ge=0, le=2**20)] = 200  # steps of linear rise before
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    mirror: bool = True  # learn from mirror images too, where nobody may castle
    lessons: LessonShares = LessonShares()

    def __post_init__(self) -> None:
        if not self.heads:
            raise ValueError("expected at least one of `policy`, `value` and `q`")
        if self.optimizer.schedule is not None:
            raise ValueError("`optimizer` has no `schedule` here: `steps` and `warmup` set it")

    @property
    def heads(self) -> tuple[Head, ...]:
        """The heads that there are."""
        return tuple(head for head in HEADS if getattr(self, head) is not None)

    @property
    def rule(self) -> OptimizerSpec:
        """The optimizer with its schedule: a cosine over all steps (arXiv:1608.03983)."""
        schedule = ScheduleSpec(name="cosine", steps=self.steps, warmup=self.warmup)
        given = {name: getattr(self.optimizer, name) for name in self.optimizer.__struct_fields__}
        return OptimizerSpec(**{**given, "schedule": schedule})


def recipe_names() -> list[str]:
    """Names of the bundled recipes, sorted."""
    folder = resources.files("agentd") / FOLDER
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir())


def load_recipe(source: str) -> ChessRecipe:
    """Read a bundled recipe by its name, or a YAML file. Raises MissingInput, ConfigError."""
    if source in recipe_names():
        text = (resources.files("agentd") / FOLDER / f"{source}.yaml").read_bytes()
        return convert_recipe(strictyaml.parse(text, source))
    path = Path(source).expanduser()
    if not path.is_file():
        known = ", ".join(recipe_names())
        raise MissingInput(f"no recipe {source!r}", hint=f"a YAML file, or one of {known}")
    return convert_recipe(strictyaml.parse(path.read_bytes(), source))


def convert_recipe(document: Document) -> ChessRecipe:
    """Return the document as a recipe whose networks can be built. Raises ConfigError."""
    recipe = strictyaml.convert(document, ChessRecipe, decode_hook)
    for head in recipe.heads:
        try:
            make_head(recipe, head)
        except ModelError as fault:
            raise document.error((head, "layers"), str(fault)) from None
    return recipe


def make_head(recipe: ChessRecipe, head: Head) -> Network:
    """Return the network of one head. Raises ModelError where its layers do not fit."""
    spec: HeadSpec = getattr(recipe, head)
    layers: tuple[LayerSpec, ...] = (*spec.layers, Dense(OUTPUTS[head]))
    if recipe.input == "board":
        shape = (8, 8, BOARD_CHANNELS)
        return Network(Reshape(shape), *layers, input_shape=(64 * BOARD_CHANNELS,))
    return Network(*layers, input_shape=(N_FEATURES if recipe.input == "full" else N_PLAIN,))


def seen_by(recipe: ChessRecipe, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the part of inputs (B, N_FEATURES) that the recipe's networks read."""
    if recipe.input == "board":
        return as_board(inputs)
    return inputs if recipe.input == "full" else inputs[:, :N_PLAIN]
