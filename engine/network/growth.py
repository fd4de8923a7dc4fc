"""Growth: what a network knows, in another one whose inputs or actions differ.

What both have keeps its numbers. A new input weighs 0: it changes nothing until it is trained. A
new action is worth the mean of the old ones of its branch. What is gone is left out.

Shapes: D inputs, A actions over all branches, Z numbers an action, P parameters.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Host, Slot
from agentd.engine.errors import EngineError
from agentd.engine.layers import (
    BatchNorm,
    Dense,
    Dropout,
    Dueling,
    Exp,
    Flatten,
    Gelu,
    Identity,
    LayerSpec,
    LeakyRelu,
    NoisyDense,
    Normalize,
    Relu,
    Scale,
    Sigmoid,
    Softplus,
    Tanh,
)
from agentd.engine.layers.implicit import ImplicitQuantiles
from agentd.engine.layers.layer import tag_of
from agentd.engine.network.network import Network

_EACH_ALONE = (
    *(Dropout, Exp, Flatten, Gelu, Identity, LeakyRelu, Relu, Scale, Sigmoid, Softplus, Tanh),
)
"""Layers without parameters that treat each of their inputs alone."""
_ONES = ("gain", "variance")


class CannotGrow(EngineError):
    """A network does not fit into another one; the text says which part of it, and why."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Where the inputs and actions of a new network stand in an old one.

    inputs  (D_new,) int64, place of each input among the old network's, flat; -1: it is new
    width   D_old
    before  actions of each branch of the old one
    after   those of the new one; the first ones of a branch are the old ones of the same branch
    atoms   Z
    """

    inputs: NDArray[np.int64]
    width: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    atoms: int = 1

    @property
    def keeps_inputs(self) -> bool:
        """Whether the inputs are the same."""
        return np.array_equal(self.inputs, np.arange(self.width))


class _SlotPair(NamedTuple):
    """A slot of the new network, the same of the old one, and which of its sides differ."""

    old: Slot
    new: Slot
    reads_input: bool
    is_head: bool


class GrownNetwork:
    """Brings the vectors of a network ``old`` into the layout of ``new``.

    Both are built of one model, without a tail behind the head. Raises CannotGrow.
    """

    def __init__(self, old: Network, new: Network, growth: Growth) -> None:
        self._old, self._new, self.growth = old, new, growth
        self._dueling = isinstance(_output_of(new.specs), Dueling)
        if len(old.slots) != len(new.slots):
            raise CannotGrow("the networks have different layers")
        entries = set() if growth.keeps_inputs else _entries(new.specs)
        last = _owner_of(new.slots[-1])
        self._parts = [
            _SlotPair(a, b, _layer_of(b) in entries, _owner_of(b) == last)
            for a, b in zip(old.slots, new.slots, strict=True)
        ]
        self.params(np.zeros(old.n_params, np.float32))  # what does not fit is told here

    def params(self, old: Host) -> NDArray[np.float32]:
        """Return parameters (P_new,) that make of old ones (P_old,)."""
        return self._vector(old, self._new.n_params, fresh=True)

    def moments(self, old: Host) -> NDArray[np.float32]:
        """Return an optimizer's moments of the trainable parameters; those of new ones are 0."""
        return self._vector(old, self._new.n_trainable, fresh=False)

    def _vector(self, old: Host, size: int, *, fresh: bool) -> NDArray[np.float32]:
        found = np.zeros(size, np.float32)
        for part in self._parts:
            if part.new.end <= size:
                table = old[part.old.offset : part.old.end].reshape(part.old.shape)
                found[part.new.offset : part.new.end] = self._table(part, table, fresh).reshape(-1)
        return found

    def _table(self, part: _SlotPair, table: NDArray[Any], fresh: bool) -> NDArray[Any]:
        """Return a slot's numbers in their new shape; new ones have a value where ``fresh``."""
        leaf = part.new.name.rpartition(".")[2]
        if part.reads_input and leaf != "b":  # a bias of outputs
            table = self._rows(part.new.name, table, 1.0 if fresh and leaf in _ONES else 0.0)
        if part.is_head:
            table = self._columns(table, fresh)
        if table.shape != part.new.shape:
            raise CannotGrow(f"{part.new.name}: it has {part.old.shape}, and now {part.new.shape}")
        return table

    def _rows(self, name: str, table: NDArray[Any], fill: float) -> NDArray[Any]:
        """Return a table whose first axis follows the inputs; a noisy one has its bias behind."""
        inputs, behind = self.growth.inputs, len(table) - self.growth.width
        if behind not in (0, 1):
            raise CannotGrow(f"{name}: an image's channels do not tell its inputs apart")
        found = np.full((len(inputs) + behind, *table.shape[1:]), fill, np.float64)
        kept = np.flatnonzero(inputs >= 0)
        found[kept] = table[inputs[kept]]
        if behind:
            found[-1] = table[-1]
        return found

    def _columns(self, table: NDArray[Any], fresh: bool) -> NDArray[Any]:
        """Return the head's table, its last axis: Z times the actions, a dueling one's V before.

        There V takes up what the actions that are gone meant for the mean of the advantages: the
        values of the others stay, with several branches their mean over the branches.
        """
        before, after = self.growth.before, self.growth.after
        each = table.astype(np.float64).reshape(*table.shape[:-1], self.growth.atoms, -1)
        value, old = each[..., : self._dueling], each[..., int(self._dueling) :]
        ends = np.cumsum(before)
        parts, shift = [], np.zeros_like(each[..., :1])
        for b, n in enumerate(after):
            branch = old[..., ends[b] - before[b] : ends[b]] if b < len(before) else old
            kept = branch[..., : min(n, before[b])] if b < len(before) else branch[..., :0]
            mean = branch.mean(axis=-1, keepdims=True)
            more = np.repeat(mean if fresh else 0 * mean, n - kept.shape[-1], axis=-1)
            parts.append(np.concatenate([kept, more], axis=-1))
            if b < len(before) and fresh:
                shift += parts[-1].mean(axis=-1, keepdims=True) - mean
        value = value + shift / min(len(before), len(after))
        return np.concatenate([value[..., : self._dueling], *parts], axis=-1).reshape(
            *table.shape[:-1], -1
        )


def _entries(specs: tuple[LayerSpec, ...]) -> set[int]:
    """The layers with parameters for each input of the network. Raises CannotGrow."""
    found = set()
    for at, spec in enumerate(specs):
        if isinstance(spec, Normalize | BatchNorm):
            found.add(at)
        elif isinstance(spec, Dense | NoisyDense | Dueling):
            return {*found, at}
        elif not isinstance(spec, _EACH_ALONE):
            raise CannotGrow(
                f"model layer {at + 1}, {tag_of(spec)}, reads the inputs as a whole: they must "
                "stay the same"
            )
    return found


def _output_of(specs: tuple[LayerSpec, ...]) -> LayerSpec:
    return specs[-1].layers[-1] if isinstance(specs[-1], ImplicitQuantiles) else specs[-1]


def _owner_of(slot: Slot) -> str:
    return slot.name.rpartition(".")[0]


def _layer_of(slot: Slot) -> int:
    return int(slot.name.partition(".")[0])
