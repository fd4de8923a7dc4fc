"""A pass recorded with shapes alone: which buffers its steps touch, when, and what they cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Protocol, cast

from agentd.engine.backend import Array, Backend, Kind, Shape, Slot
from agentd.engine.checkpointing.placement import Buffer
from agentd.engine.checkpointing.replay import Phase, Replay
from agentd.engine.layers.recording import Calls, Recording
from agentd.engine.layers.sequential import PlacedSequential

NUMBER = 4
"""Bytes of a float32 or int32."""

_TRANSCENDENTAL = 10
"""Operations of an activation, a gate or a normalisation for each number, about."""
_COSTLY = ("activation", "lstm", "gru", "layer_norm", "batch_norm", "dropout")


class Placed(Protocol):
    """What a plan asks of a network."""

    root: PlacedSequential
    input_shape: Shape
    input_kind: Kind
    n_params: int
    moved: tuple[str, ...]  # layers that cannot be replayed


class Shadow:
    """A shape without numbers; ``buffer`` is its place among the arena's, None outside of it."""

    __slots__ = ("buffer", "shape")

    def __init__(self, shape: Shape, buffer: int | None = None) -> None:
        self.shape = tuple(shape)
        self.buffer = buffer

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)


@dataclass(slots=True)
class Touch:
    """A recorded step: its phase, its layer, the buffers it touches, its operations."""

    phase: Phase
    layer: int
    buffers: frozenset[int]
    flops: int


@dataclass(slots=True)
class BufferLife:
    """A buffer: its kind, where it was asked for, and the steps from birth to last touch."""

    kind: Kind
    phase: Phase
    layer: int
    pinned: bool
    room: Buffer


@dataclass
class PassTrace:
    """One training pass: its steps in order and the lives of its buffers, by request."""

    steps: list[Touch]
    lives: list[BufferLife]
    reads_input: tuple[bool, ...]
    output_of: tuple[int | None, ...]  # each layer's output's buffer; views share one

    @cached_property
    def forward_steps(self) -> int:
        """How many of the steps are forward's."""
        return sum(step.phase == "forward" for step in self.steps)

    @property
    def saved(self) -> int:
        """Bytes kept from forward to backward; input and output of the network are not counted."""
        return NUMBER * sum(life.room.size for life in self.lives if self.is_saved(life))

    def is_saved(self, life: BufferLife) -> bool:
        """Whether backward, or a replay for it, reads what forward wrote."""
        kept = life.room.last >= self.forward_steps
        return life.phase == "forward" and not life.pinned and kept

    @property
    def replayed(self) -> int:
        """Operations of all replays."""
        return sum(step.flops for step in self.steps if step.phase == "replay")


class _Traced:
    """A bound op that computes nothing and knows what it would touch."""

    __slots__ = ("buffers", "flops")

    def __init__(self, name: str, arrays: list[Shadow]) -> None:
        self.buffers = frozenset(a.buffer for a in arrays if a.buffer is not None)
        self.flops = _operations(name, arrays)

    def __call__(self) -> None:
        """Compute nothing."""


class _Tracer:
    """Every op of a backend, as a function that only notes its arrays."""

    name = "trace"

    def empty(self, shape: Shape, kind: Kind = "float") -> Shadow:
        return Shadow(shape)

    zeros = empty

    def asarray(self, host: Any) -> Shadow:
        return Shadow(host.shape)

    def view(self, vector: Shadow, slot: Slot) -> Shadow:
        return Shadow(slot.shape, vector.buffer)

    def rows(self, array: Shadow, start: int, stop: int) -> Shadow:
        start, stop, _ = slice(start, stop).indices(array.shape[0])
        return Shadow((max(stop - start, 0), *array.shape[1:]), array.buffer)

    def reshape(self, array: Shadow, shape: Shape) -> Shadow:
        known = -prod(shape) or 1
        return Shadow(tuple(array.size // known if n == -1 else n for n in shape), array.buffer)

    def gathers(self, window: object) -> bool:
        return False

    def __getattr__(self, name: str) -> Callable[..., _Traced]:
        return lambda *given, **named: _Traced(name, _shadows((*given, *named.values())))


def _shadows(values: Sequence[Any]) -> list[Shadow]:
    found: list[Shadow] = []
    for value in values:
        if isinstance(value, Shadow):
            found.append(value)
        elif isinstance(value, tuple | list):
            found += _shadows(value)
    return found


def _operations(name: str, arrays: list[Shadow]) -> int:
    """Count an op's operations: exactly for products, about for all else."""
    if name in ("affine", "matmul", "matmul_tn", "matmul_nt", "conv"):
        (m, k), second = arrays[0].shape[:2], arrays[1].shape
        return 2 * m * k * (second[0] if name == "matmul_nt" else second[-1])
    if name.startswith("embedding_bag"):
        return arrays[0].size * arrays[1].shape[-1]
    each = _TRANSCENDENTAL if name.startswith(_COSTLY) else 1
    return each * max((array.size for array in arrays), default=0)


class _TracedArena:
    """Gives every request a buffer of its own and notes where it came from."""

    def __init__(self, tracing: "_Tracing") -> None:
        self._tracing = tracing

    def take(self, index: int, batch: int, per_row: Shape, kind: Kind) -> Array:
        return self._tracing.take((batch, *per_row), kind)


class _Tracing:
    """What is known while a pass is being traced."""

    def __init__(self) -> None:
        self.lives: list[BufferLife] = []
        self.steps: list[Touch] = []
        self.phase: Phase = "forward"
        self.layer = -1
        self.input: Shadow | None = None
        self.recording: Recording | None = None
        self.seen = 0

    def take(self, shape: Shape, kind: Kind) -> Shadow:
        """Note a request for memory, after the steps before it."""
        self.collect()
        now = len(self.steps)
        room = Buffer(prod(shape), now, now)
        self.lives.append(BufferLife(kind, self.phase, self.layer, False, room))
        return Shadow(shape, len(self.lives) - 1)

    def take_gradient(self, shape: Shape) -> Shadow:
        """Note where a loss writes the output's gradient, between forward and backward."""
        now = len(self.steps)
        room = Buffer(prod(shape), max(now - 1, 0), now)
        self.lives.append(BufferLife("float", "backward", -1, False, room))
        return Shadow(shape, len(self.lives) - 1)

    def mark(self, phase: Phase, layer: int, x: Array) -> None:
        """Note that a layer begins."""
        self.collect()
        self.phase, self.layer, self.input = phase, layer, cast(Shadow, x)

    def collect(self) -> None:
        """Note the steps that were recorded since the last time."""
        assert self.recording is not None
        recorded: list[Any] = self.recording.steps
        for step in recorded[self.seen :]:
            if isinstance(step, _Traced):
                buffers, flops = step.buffers, step.flops
            else:
                buffers, flops = self._may_touch(), 0
            now = len(self.steps)
            for i in buffers:
                self.lives[i].room.last = max(self.lives[i].room.last, now)
            self.steps.append(Touch(self.phase, self.layer, buffers, flops))
        self.seen = len(recorded)

    def _may_touch(self) -> frozenset[int]:
        """Return what a step that is no op may touch: its layer's input and all of its buffers."""
        own = {i for i, life in enumerate(self.lives) if life.layer == self.layer}
        if self.input is not None and self.input.buffer is not None:
            own.add(self.input.buffer)
        return frozenset(own)


def trace_pass(
    net: Placed, rows: int, again: Sequence[bool] = (), reads_input: Sequence[bool] | None = None
) -> PassTrace:
    """Record a training pass of ``rows`` rows with shapes alone; layers in ``again`` are replayed.

    ``reads_input`` is what an earlier trace of the network found; without it, it is found here.
    """
    root, tracing = net.root, _Tracing()
    count = len(root.layers)
    again = tuple(again) or (False,) * count
    arena, params = _TracedArena(tracing), Shadow((net.n_params,))
    backend = cast(Backend, _Tracer())
    r = Recording(backend, arena, rows, params, calls=Calls(), noise=Calls())
    tracing.recording = r
    x = r.new(net.input_shape, net.input_kind)
    outputs: list[int | None] = []

    def mark(phase: Phase, layer: int, given: Array) -> None:
        if phase == "forward" and layer:
            outputs.append(cast(Shadow, given).buffer)
        tracing.mark(phase, layer, given)

    replay = Replay(root, again, reads_input or (True,) * count, mark)
    y = cast(Shadow, replay.forward(r, x))
    outputs.append(y.buffer)
    tracing.collect()
    tracing.seen = 0
    r.begin_backward(params, r.taken)
    replay.backward(r, tracing.take_gradient(y.shape))
    tracing.collect()
    for i in {cast(Shadow, x).buffer, y.buffer} - {None}:
        life = tracing.lives[cast(int, i)]
        life.pinned, life.room.first, life.room.last = True, 0, max(len(tracing.steps) - 1, 0)
    reads = tuple(reads_input or _reads_input(tracing.steps, outputs, count))
    return PassTrace(tracing.steps, tracing.lives, reads, tuple(outputs))


def _reads_input(steps: list[Touch], outputs: list[int | None], count: int) -> list[bool]:
    """Return of each layer whether its backward touches its input's buffer."""
    found = [False] * count
    for step in steps:
        below = outputs[step.layer - 1] if step.layer > 0 else None
        if step.phase == "backward" and below is not None and below in step.buffers:
            found[step.layer] = True
    return found
