"""A trained model's weights for a recipe with more inputs: the new ones begin with weights of 0."""

import numpy as np
from numpy.typing import NDArray

from agentd.chess.model.model import ChessModel
from agentd.chess.model.recipe import ChessRecipe, Head, make_head
from agentd.engine.network.weights import join, split
from agentd.errors import UsageError


def widened(model: ChessModel, recipe: ChessRecipe) -> dict[Head, NDArray[np.float32]]:
    """Return weights (P,) for each head of ``recipe`` that ``model`` has; the outputs are the same.

    Inputs that the model lacks come after those it has, and get weights of 0. Raises UsageError
    where a layer is of another width.
    """
    return {head: _widen(model, recipe, head) for head in recipe.heads if head in model.weights}


def _widen(model: ChessModel, recipe: ChessRecipe, head: Head) -> NDArray[np.float32]:
    old = split(make_head(model.recipe, head), model.weights[head])
    network = make_head(recipe, head)
    tensors = {}
    for slot in network.slots:
        have = old.get(slot.name)
        grown = have is not None and have.ndim == 2 and have.shape[0] < slot.shape[0]
        if have is None or have.shape[grown:] != slot.shape[grown:]:
            got = "nothing" if have is None else have.shape
            raise UsageError(f"{head}: {slot.name}: expected {slot.shape}, the model has {got}")
        tensors[slot.name] = np.zeros(slot.shape, np.float32)
        tensors[slot.name][: len(have)] = have
    return join(network, tensors)
