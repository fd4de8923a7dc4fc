"""A trained chess model: networks that evaluate boards, and the file it is kept in.

The file is safetensors: a tensor a slot, named ``head/slot``, as float16 in a release; the metadata
holds the recipe and what was measured, as JSON. Reading it runs no code.
"""

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import chess
import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from agentd.assembly.device import backend_for
from agentd.chess.model.recipe import (
    ChessRecipe,
    Head,
    LessonShares,
    convert_recipe,
    make_head,
    seen_by,
)
from agentd.engine.network import Pass
from agentd.engine.network.weights import WeightsError, join
from agentd.engine.strictyaml import Document
from agentd.errors import AgentdError, ExitCode, MissingInput
from agentd.games.chess.board.features import features
from agentd.games.chess.board.position import Positions, encode_boards
from agentd.games.chess.data.lessons import BEST
from agentd.store import read_checkpoint, write_file

SHIPPED = "models/chess-small.safetensors"
KIND = "agentd.chess"
RATING = 2000
"""The rating that a model of people's play alone imitates by default: few games go higher."""
_BATCH = 256

Weights = Mapping[Head, NDArray[np.float32]]


class NotAModel(AgentdError):
    """A file that holds no chess model, or a damaged one."""

    exit_code = ExitCode.BAD_DATA


class ChessModel:
    """The networks of a recipe with their weights (P,) by head: an `Evaluator` for the search.

    mover_rating, other_rating   ratings to imitate, of the mover and of the other side; 0 unknown
    """

    def __init__(
        self,
        recipe: ChessRecipe,
        weights: Weights,
        facts: Mapping[str, Any] | None = None,
        device: str = "cpu",
    ) -> None:
        self.recipe, self.weights, self.facts = recipe, dict(weights), dict(facts or {})
        self.mover_rating = self.other_rating = 0
        self._backend = backend_for(device)
        self._params = {head: self._backend.asarray(flat) for head, flat in weights.items()}
        self._passes = {
            head: Pass(make_head(recipe, head), self._backend, _BATCH) for head in weights
        }

    @property
    def rating(self) -> int:
        """The rating to imitate by default: best play for a model that learned from lessons."""
        return BEST if self.recipe.lessons != LessonShares() else RATING

    @property
    def about(self) -> dict[str, Any]:
        """Which heads it has, how many parameters, and how long it was trained."""
        trained = self.facts.get("trainer", {})
        return {
            "heads": list(self.weights),
            "parameters": sum(len(flat) for flat in self.weights.values()),
            "steps": trained.get("step"),
        }

    def outputs(self, head: Head, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return one head's outputs for inputs (B, N_FEATURES): (B, 1858) or (B, 1)."""
        inputs = seen_by(self.recipe, inputs)
        run, params, found = self._passes[head], self._params[head], []
        for at in range(0, len(inputs), _BATCH):
            part = inputs[at : at + _BATCH]
            x = run.input(params, len(part))
            self._backend.write(x, part.reshape(x.shape))
            found.append(self._backend.to_host(run.forward(params, x)).copy())
        return found[0] if len(found) == 1 else np.concatenate(found)

    def policy(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a logit a move, (B, 1858); Q's values, sharpened, where there is no policy."""
        if "policy" in self._passes:
            return self.outputs("policy", inputs)
        return self.outputs("q", inputs) * np.float32(_SHARP)

    def win(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the mover's expected score (B,) in [0, 1]: of the value head, or Q's best."""
        if "value" in self._passes:
            logit = self.outputs("value", inputs)[:, 0].astype(np.float64)
            return np.asarray(1 / (1 + np.exp(-np.clip(logit, -30, 30))), np.float32)
        if "q" in self._passes:
            best: NDArray[np.float32] = self.outputs("q", inputs).max(1)
            return np.clip(best, 0, 1)
        return np.full(len(inputs), 0.5, np.float32)

    def evaluate(
        self, boards: Sequence[chess.Board]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return a logit a move (B, 1858), unmasked, and the mover's expected score (B,)."""
        inputs = features(self.encode(boards))
        return self.policy(inputs), self.win(inputs)

    def encode(self, boards: Sequence[chess.Board]) -> Positions:
        """Return the boards as positions, with the ratings to imitate."""
        return encode_boards(boards, self.mover_rating, self.other_rating)


_SHARP = 40
"""Logits an expected score of 1 is worth, where moves are drawn by their Q."""


def load_bot(path: Path | None = None, rating: int | None = None) -> ChessModel:
    """Return the model in a file or in a run's folder (its best), or the shipped one for None.

    Raises MissingInput where there is none, NotAModel where it is damaged.
    """
    if path is None:
        with resources.as_file(resources.files("agentd") / SHIPPED) as file:
            model = read_model(file)
    elif path.is_dir():
        model = read_run(path)
    else:
        model = read_model(path)
    model.mover_rating = model.other_rating = rating or model.rating
    return model


def read_model(path: Path) -> ChessModel:
    """Read a model file. Raises MissingInput, NotAModel."""
    if not path.is_file():
        raise MissingInput(f"no chess model in {path}", hint="`agentd chess train` makes one")
    try:
        with safe_open(str(path), "numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        facts = json.loads(metadata[KIND])
        recipe = convert_recipe(Document(facts["recipe"], str(path)))
        return ChessModel(recipe, _joined(recipe, tensors, str(path)), facts)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, WeightsError) as fault:
        raise NotAModel(f"{path} is no chess model: {fault}") from fault


def read_run(path: Path) -> ChessModel:
    """Read the best model of a run so far, or its newest. Raises MissingInput, NotAModel."""
    for folder in ("best", "checkpoints"):
        found = read_checkpoint(path / folder)
        if found is not None and found.facts.get("kind") == KIND:
            recipe = convert_recipe(Document(found.facts["recipe"], found.name))
            return ChessModel(recipe, _joined(recipe, found.weights, found.name), found.facts)
    raise MissingInput(f"no chess model in {path}", hint="`agentd chess train` makes one")


def write_model(path: Path, model: ChessModel, facts: Mapping[str, Any]) -> None:
    """Write a release: half precision, with the recipe and ``facts``. Raises StorageError."""
    tensors = {
        name: np.ascontiguousarray(array, np.float16)
        for name, array in named(model.recipe, model.weights).items()
    }
    about = {**facts, "recipe": plain_recipe(model.recipe)}
    write_file(path, save(tensors, {KIND: json.dumps(about, ensure_ascii=False)}))


def named(recipe: ChessRecipe, weights: Weights) -> dict[str, NDArray[np.float32]]:
    """Return the weights (P,) of each head as tensors by ``head/slot``."""
    return {
        f"{head}/{slot.name}": flat[slot.offset : slot.end].reshape(slot.shape)
        for head, flat in weights.items()
        for slot in make_head(recipe, head).slots
    }


def plain_recipe(recipe: ChessRecipe) -> dict[str, Any]:
    """Return the recipe as JSON values that ``convert_recipe`` reads back."""
    values = msgspec.json.decode(msgspec.json.encode(recipe))
    return {key: value for key, value in values.items() if value is not None}


def _joined(
    recipe: ChessRecipe, tensors: Mapping[str, NDArray[Any]], source: str
) -> dict[Head, NDArray[np.float32]]:
    found: dict[Head, NDArray[np.float32]] = {}
    for head in recipe.heads:
        found[head] = join(make_head(recipe, head), of_head(head, tensors), f"{source}: {head}")
    return found


def of_head(head: Head, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return one head's arrays of ``named`` under their own names."""
    mark = f"{head}/"
    return {k.removeprefix(mark): v for k, v in arrays.items() if k.startswith(mark)}
