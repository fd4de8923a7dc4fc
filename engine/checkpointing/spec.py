"""What a user says about the memory of a training pass: a budget, and policies by layer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from typing import Literal, NamedTuple, TypeAlias

from agentd.engine.errors import ModelError
from agentd.engine.layers.layer import LayerSpec, tag_of
from agentd.engine.strictyaml import Record, suggest
from agentd.engine.strictyaml.record import Fraction

Policy: TypeAlias = Literal["must_save", "prefer_save", "prefer_recompute", "must_recompute"]


class LayerCost(NamedTuple):
    """What one layer of a training pass keeps for backward, and what a second forward costs.

    names   as in the model: several where layers are computed as one, a dense layer and its relu
    nbytes  kept between forward and backward, for a full batch
    flops   of its forward, for a full batch
    """

    names: tuple[str, ...]
    nbytes: int
    flops: int


PolicyFunction: TypeAlias = Callable[[LayerCost], Policy | None]
"""Chooses a layer's policy by its costs; None leaves it to the budget."""


class MemorySpec(Record, frozen=True, kw_only=True):
    """How much a training pass may keep for backward; what it does not keep it computes again."""

    budget: Fraction = 1.0  # from 0, the least that one second forward allows, to 1, everything
    bound: Literal["peak", "saved"] = "peak"  # budget of all bytes at once, or of those kept
    policy: Mapping[str, Policy] = {}  # by a layer's name, as 0.dense, or its kind, as dense

    @property
    def is_plain(self) -> bool:
        """Whether nothing is asked for: all is kept, as ever."""
        return self.budget == 1 and not self.policy


def check_budget(budget: float) -> None:
    """Raise ModelError unless ``budget`` is a number from 0 to 1."""
    if not (isfinite(budget) and 0 <= budget <= 1):
        raise ModelError(f"memory budget: expected a number from 0 to 1, got {budget}")


def unknown_layer(policy: Iterable[str], layers: Sequence[LayerSpec]) -> str | None:
    """Return the first key of ``policy`` that names no layer, None where all do."""
    known = layer_names(layers)
    return next((key for key in policy if key not in known), None)


def layer_names(layers: Sequence[LayerSpec]) -> list[str]:
    """Return what a policy may name: every layer's own name, then every kind."""
    kinds = [tag_of(layer) for layer in layers]
    return [*(f"{i}.{kind}" for i, kind in enumerate(kinds)), *dict.fromkeys(kinds)]


def policy_of(
    cost: LayerCost, policy: Mapping[str, Policy], choose: PolicyFunction | None
) -> Policy | None:
    """Return the policy of one layer: by its name, else its kind, else what ``choose`` says.

    Of the kinds of layers that are computed as one the first with a policy counts. Raises
    ModelError where the names of such layers have different ones.
    """
    own = {policy[name] for name in cost.names if name in policy}
    if len(own) > 1:
        both = " and ".join(sorted(own))
        raise ModelError(f"{' and '.join(cost.names)} are computed as one: not {both}")
    kinds = (name.partition(".")[2] for name in cost.names)
    found = [*own, *(policy[kind] for kind in kinds if kind in policy)]
    if found:
        return found[0]
    return None if choose is None else choose(cost)


def refuse_unknown(policy: Iterable[str], layers: Sequence[LayerSpec]) -> None:
    """Raise ModelError where ``policy`` names a layer that ``layers`` do not have."""
    wrong = unknown_layer(policy, layers)
    if wrong is not None:
        near = suggest(wrong, layer_names(layers))
        names = ", ".join(layer_names(layers))
        raise ModelError(f"memory policy: no layer `{wrong}`; {near or f'one of {names}'}")
