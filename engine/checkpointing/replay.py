"""Recording a pass some of whose layers are computed a second time, just before backward."""

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from agentd.engine.backend import Array
from agentd.engine.layers.recording import Recording
from agentd.engine.layers.sequential import PlacedSequential

Phase: TypeAlias = Literal["forward", "replay", "backward"]
Mark: TypeAlias = Callable[[Phase, int, Array], None]
"""Called before a layer is recorded: what is done, which layer, and its input."""


def _unmarked(phase: Phase, layer: int, x: Array) -> None:
    """Be told and do nothing."""


class Replay:
    """Records forward and backward of ``root``; layers marked in ``again`` forget in between.

    ``reads_input`` says of each layer whether its backward reads its input: then the layer below
    is replayed before it, else just before that layer's own backward. A run of forgetful layers is
    replayed as one, from the last kept array below it.
    """

    def __init__(
        self,
        root: PlacedSequential,
        again: Sequence[bool],
        reads_input: Sequence[bool],
        mark: Mark = _unmarked,
    ) -> None:
        self._root, self._again, self._reads = root, again, reads_input
        self._mark = mark
        self._outputs: list[Array] = []
        self._streams: list[int] = []

    def forward(self, r: Recording, x: Array) -> Array:
        """Record forward; return the output."""
        self._outputs, self._streams = [x], []
        for i, layer in enumerate(self._root.layers):
            self._mark("forward", i, self._outputs[-1])
            self._streams.append(r.streams)
            self._outputs.append(layer.forward(r, self._outputs[-1]))
        return self._outputs[-1]

    def backward(self, r: Recording, dy: Array) -> None:
        """Record backward from ``dy``, d loss / d output; the parameters' gradients are written."""
        outputs, layers = list(self._outputs), self._root.layers
        missing = list(self._again)
        gradient: Array | None = dy
        for i in reversed(range(self._root.first_trained, len(layers))):
            for needed in (i, i - 1) if i and self._reads[i] else (i,):
                self._replay(r, outputs, missing, needed)
            assert gradient is not None, "a layer above gave no gradient"
            self._mark("backward", i, outputs[i])
            below = i > self._root.first_trained
            gradient = layers[i].backward(r, outputs[i], outputs[i + 1], gradient, below)

    def _replay(self, r: Recording, outputs: list[Array], missing: list[bool], last: int) -> None:
        """Record forward again for the run of missing layers that ends with ``last``."""
        first = last + 1
        while first and missing[first - 1]:
            first -= 1
        r.replaying = True
        for i in range(first, last + 1):
            self._mark("replay", i, outputs[i])
            r.streams = self._streams[i]
            outputs[i + 1] = self._root.layers[i].forward(r, outputs[i])
            missing[i] = False
        r.replaying = False
