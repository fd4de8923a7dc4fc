"""Recipes: the bundled ones, and one written in code."""

import pytest

from agentd.chess.model.recipe import (
    ChessRecipe,
    HeadSpec,
    load_recipe,
    make_head,
    recipe_names,
)
from agentd.engine.layers import Dense, Relu


@pytest.mark.parametrize("name", recipe_names())
def test_bundled_recipes_build(name: str):
    found = load_recipe(name)
    assert found.about
    for head in found.heads:
        assert make_head(found, head).n_params > 1000


def test_a_recipe_in_code_is_the_same_record():
    made = ChessRecipe(value=HeadSpec(layers=(Dense(4), Relu())))
    assert make_head(made, "value").output_shape == (1,)
