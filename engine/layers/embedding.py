"""EmbeddingBag: the sum of a few rows of a table, for inputs that are lists of active features."""

from dataclasses import dataclass

from agentd.engine.backend import Array, Shape, Slot
from agentd.engine.layers.init import INITS, Init, zeros
from agentd.engine.layers.layer import Count, Layer, LayerSpec, Options, want_rank
from agentd.engine.layers.recording import Layout, Recording


class EmbeddingBag(LayerSpec, Options, frozen=True, tag="embedding_bag"):
    """``units`` outputs: a bias plus the rows of a table of ``rows`` that the input names.

    The input is (B, N) int32, the indices of the active features, -1 where there are fewer than N:
    a Dense on the multi-hot vector at the cost of N rows. It can only be the first layer.
    """

    rows: Count
    units: Count
    bias: bool = True
    init: Init = "glorot"

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        want_rank(shape, 1, name, "the input is a list of N indices")
        at.take_indices(name)
        table = at.slot(f"{name}.table", (self.rows, self.units), INITS[self.init])
        bias = at.slot(f"{name}.b", (self.units,), zeros) if self.bias else None
        return PlacedEmbeddingBag(table, bias)


@dataclass(frozen=True, slots=True)
class PlacedEmbeddingBag:
    """x (B, N) int32, table (V, E), b (E,), y (B, E)."""

    table: Slot
    b: Slot | None

    @property
    def out_shape(self) -> Shape:
        return self.table.shape[1:]

    def forward(self, r: Recording, x: Array) -> Array:
        y = r.new(self.out_shape)
        r.do(r.be.embedding_bag(x, r.p(self.table), y))
        if self.b:
            r.do(r.be.add_row(r.p(self.b), y))
        return y

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        r.do(r.be.embedding_bag_backward(x, dy, r.g(self.table)))
        if self.b:
            r.do(r.be.sum_rows(dy, r.g(self.b)))
        return None
