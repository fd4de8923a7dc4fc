"""Recording: how layers lay out their parameters and bind their ops.

A network is placed once (``Layout`` hands out slots of the flat vector) and recorded once per
batch size (``Recording`` collects the bound ops). Running it is then a walk over a list.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentd.engine.backend import Array, Backend, Kind, Shape, Slot, Step
from agentd.engine.errors import ModelError
from agentd.engine.layers.init import Draw


@dataclass(frozen=True, slots=True)
class Penalty:
    """What a slot's size costs: l1 Σ|w| + ½ l2 Σ w², added to the loss's gradient."""

    slot: Slot
    l1: float
    l2: float


@dataclass
class Layout:
    """Hands out slots: trainable parameters from 0, running statistics from ``statistics_at``."""

    statistics_at: int = 0
    slots: list[Slot] = field(default_factory=list)
    draws: list[Draw] = field(default_factory=list)
    penalties: list[Penalty] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    remembering: list[str] = field(default_factory=list)
    n_trainable: int = 0
    n_statistics: int = 0
    placed: int = 0
    input_kind: Kind = "float"

    def slot(self, name: str, shape: Shape, draw: Draw, l1: float = 0, l2: float = 0) -> Slot:
        """Return a new slot of trainable parameters."""
        slot = Slot(name, self.n_trainable, shape)
        self.n_trainable = slot.end
        self.slots.append(slot)
        self.draws.append(draw)
        if l1 or l2:
            self.penalties.append(Penalty(slot, l1, l2))
        return slot

    def take_indices(self, name: str) -> None:
        """Say that layer ``name`` reads the network's input, as int32.

        Raises ModelError when another layer came before it.
        """
        if self.placed:
            raise ModelError(f"{name}: reads indices, so it can only be the first layer")
        self.input_kind = "int32"

    def remember(self, name: str, widths: list[int]) -> None:
        """Say that layer ``name`` carries states of these widths from row to row of a stream."""
        self.remembering.append(name)
        self.memory.extend(widths)

    def statistic(self, name: str, shape: Shape, draw: Draw, replayed: bool = False) -> Slot:
        """Return a new slot that training updates without a gradient, after all trainable ones.

        ``replayed``: the layer's forward leaves it alone where ``Recording.replaying`` is set.
        ``moved`` names the layers that do not say so: theirs cannot be computed a second time.
        """
        owner = name.rpartition(".")[0]
        if not replayed and owner not in self.moved:
            self.moved.append(owner)
        slot = Slot(name, self.statistics_at + self.n_statistics, shape)
        self.n_statistics += slot.size
        self.slots.append(slot)
        self.draws.append(draw)
        return slot


class Arena(Protocol):
    """Activation memory of one pass, for up to ``capacity`` rows, shared by all batch sizes.

    Recording asks for its buffers in the same order for every batch size, so the i-th request is
    always the same buffer, cut to the batch.
    """

    def take(self, index: int, batch: int, per_row: Shape, kind: Kind) -> Array:
        """Return buffer ``index`` cut to ``batch`` rows."""


class OwnBuffers:
    """An arena in which every buffer has memory of its own."""

    def __init__(self, backend: Backend, capacity: int) -> None:
        self._backend = backend
        self._capacity = capacity
        self._buffers: list[Array] = []

    def take(self, index: int, batch: int, per_row: Shape, kind: Kind) -> Array:
        """Return buffer ``index`` cut to ``batch`` rows; the first request makes it."""
        if index == len(self._buffers):
            self._buffers.append(self._backend.empty((self._capacity, *per_row), kind))
        return self._backend.rows(self._buffers[index], 0, batch)


class SharedBuffers:
    """An arena whose buffers lie where a plan says: ``offsets`` into ``sizes`` numbers by kind."""

    def __init__(
        self,
        backend: Backend,
        capacity: int,
        sizes: Mapping[Kind, int],
        offsets: Sequence[tuple[Kind, int]],
    ) -> None:
        self._backend = backend
        self._capacity = capacity
        self._memory = {kind: backend.empty((size,), kind) for kind, size in sizes.items()}
        self._offsets = offsets

    def take(self, index: int, batch: int, per_row: Shape, kind: Kind) -> Array:
        """Return buffer ``index`` cut to ``batch`` rows."""
        planned, offset = self._offsets[index]
        assert planned == kind, "recorded in another order than planned"
        whole = Slot("", offset, (self._capacity, *per_row))
        return self._backend.rows(self._backend.view(self._memory[kind], whole), 0, batch)


@dataclass(slots=True)
class Calls:
    """How often a training pass has run: with its seed the key of all random masks."""

    seed: int = 0
    count: int = 0

    def key(self, stream: int) -> int:
        """Return 32 bits for the masks of layer ``stream`` in this call (splitmix64's mix)."""
        x = (self.seed * _ODD[0] + self.count * _ODD[1] + stream * _ODD[2] + _ODD[0]) & _MASK
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
        return (x ^ (x >> 31)) >> 32


_MASK = (1 << 64) - 1
_ODD = (0x9E3779B97F4A7C15, 0xD1342543DE82EF95, 0xDA942042E4DD58B5)


class Recording:
    """Bound ops of one network on one parameter vector for one batch size.

    ``times``: the B rows are so many of each of ``lanes`` streams, in order, time first; ``before``
    and ``memory`` are what layers carry along, (lanes, H) each, before and behind these rows.
    ``mask`` (B, A) marks legal actions with 1; None means all. ``calls`` is None in evaluation,
    ``noise`` where noisy layers are to be still.
    ``kept`` is where a layer's forward leaves what its backward reads beyond input and output.
    ``fractions`` (B, n) are those that implicit quantiles were drawn at, None where none were.
    ``replaying`` is set while a forward is recorded a second time, for backward: it must give the
    same numbers, and move no statistics.
    """

    def __init__(
        self,
        backend: Backend,
        arena: Arena,
        batch: int,
        params: Array,
        *,
        mask: Array | None = None,
        calls: Calls | None = None,
        noise: Calls | None = None,
        times: int = 1,
    ) -> None:
        self.be = backend
        self.batch = batch
        self.times, self.lanes = times, batch // times
        self.before: list[Array] = []
        self.memory: list[Array] = []
        self.mask = mask
        self.calls = calls
        self.noise = noise
        self.steps: list[Step] = []
        self.kept: dict[int, Any] = {}
        self.fractions: Array | None = None
        self.replaying = False
        self.streams = 0  # keys handed out so far: a replay begins where the first forward did
        self._arena = arena
        self._taken, self._each = 0, 1
        self._params = params
        self._gradient: Array | None = None

    @property
    def training(self) -> bool:
        """Whether backward may follow: dropout is on, BatchNorm uses the batch."""
        return self.calls is not None

    def p(self, slot: Slot) -> Array:
        """Return the parameters of ``slot``."""
        return self.be.view(self._params, slot)

    def g(self, slot: Slot) -> Array:
        """Return where the gradient of ``slot`` goes; backward overwrites it."""
        assert self._gradient is not None, "no gradient while forward is recorded"
        return self.be.view(self._gradient, slot)

    def new(self, per_row: Shape, kind: Kind = "float") -> Array:
        """Return memory of shape (B, *per_row)."""
        n = self._each
        shape = per_row if n == 1 else (n, *per_row)
        array = self._arena.take(self._taken, self.batch // n, shape, kind)
        self._taken += 1
        return array if n == 1 else self.be.reshape(array, (self.batch, *per_row))

    @contextmanager
    def spread(self, n: int) -> Iterator[None]:
        """Record layers for which each row is ``n`` rows: B is n times as large meanwhile.

        The mask is read as (n B, A), the masks of a row's n rows side by side.
        """
        before = self.batch, self.mask, self._each
        self.batch, self._each = n * self.batch, n * self._each
        if self.mask is not None:
            self.mask = self.be.reshape(self.mask, (self.batch, -1))
        try:
            yield
        finally:
            self.batch, self.mask, self._each = before

    def remembered(self, width: int) -> Array:
        """Return where a layer finds what it carries along, (lanes, width)."""
        self.before.append(self.be.zeros((self.lanes, width)))
        return self.before[-1]

    def mask_key(self) -> Callable[[], int]:
        """Return what gives this layer's key for the masks of the call that is running."""
        assert self.calls is not None, "masks are drawn in training only"
        return self._key(self.calls)

    def noise_key(self) -> Callable[[], int]:
        """Return what gives this layer's key for the noise of the call that is running."""
        assert self.noise is not None, "noise is off"
        return self._key(self.noise)

    def _key(self, calls: Calls) -> Callable[[], int]:
        stream = self.streams
        self.streams += 1
        return lambda: calls.key(stream)

    def do(self, step: Step) -> None:
        """Append a bound op."""
        self.steps.append(step)

    def begin_backward(self, gradient: Array, taken: int) -> None:
        """Start collecting backward's ops, whose buffers follow forward's ``taken`` ones."""
        self.steps = []
        self._gradient = gradient
        self._taken = taken

    @property
    def taken(self) -> int:
        """How many buffers were asked for so far."""
        return self._taken
